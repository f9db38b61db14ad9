"""An interrupted migration whose session keeps an advisory lock."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line
from pytest_pgmigrate.checks._interrupt import when
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.interrupt import InterruptEvidence
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG223", "interrupted-keeps-lock", part=Part.INTERRUPT, severity=Severity.WARNING)
def interrupted_keeps_lock(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The up fails by a lock_timeout, and its session goes on holding an advisory lock that the up took.

    Why it matters:
    An error rolls back the transaction, not an advisory lock of the session. Where the connection lives on, in a pool of
    the application or behind a pooler that does not send DISCARD ALL, a retry over another connection waits for that
    lock, or is told that it is taken, and nothing says why.

    How it is measured:
    In a clone, lock_timeout strikes behind an open writer of each table the up waits for; then pg_locks tells what the
    session still holds. A session that is ended gives its locks back.

    How to fix:
    Take the lock with pg_advisory_xact_lock() or pg_try_advisory_xact_lock() in the transaction that needs it. Where the up
    is more than one transaction, leave keeping others out to the runner, or let it close the connection of a migration
    that failed.

    When to ignore:
    When a failed migration always ends the process that ran it, and no pooler stands between.

    References:
    https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
    """
    seen = evidence.drilled(InterruptEvidence)
    cuts = [cut for cut in seen.cuts if cut.held is not None] if seen else []
    # What a clean run leaves held as well is told by PMG206.
    if not cuts or (evidence.up is not None and any(leak.name == "advisory lock" for leak in evidence.up.leaks)):
        return
    statement = cuts[0].held
    assert statement is not None
    tries = "pg_try_advisory" in statement.text.lower()
    yield Observation(
        place=statement.place,
        message=f"cut short {when(cuts[0])}, the up leaves its session holding an advisory lock: "
        f"{first_line(statement.text, 60)}",
        effect="in a pool, or behind a pooler that does not send DISCARD ALL, that session lives on: a retry over another "
        f"connection {'finds the lock taken' if tries else 'waits for the lock'}",
        fix=f"take it with {'pg_try_advisory_xact_lock' if tries else 'pg_advisory_xact_lock'}(), which an error gives back, in "
        "the transaction that needs it; or let the runner keep others out, or close the connection of a migration that failed",
        observed={"cuts": [when(cut) for cut in cuts]},
    )
