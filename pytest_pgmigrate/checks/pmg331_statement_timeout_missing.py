"""A statement that could hold its blocking lock without an end."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, short
from pytest_pgmigrate.checks._locks import lock_facts, unlimited
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.judgement import Judgement
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG331", "statement-timeout-missing", part=Part.LOCKS, severity=Severity.INFO)
def statement_timeout_missing(judged: Judgement, settings: Settings) -> Iterator[Observation]:
    """A statement locks out the application, and no statement_timeout limits how long it may take.

    Why it matters:
    lock_timeout ends waiting for a lock, not holding it: a statement that takes longer than thought keeps the
    application out until somebody notices.

    How it is measured:
    From statement_timeout as the session had it at the statement; the run's own guard (pgmigrate_statement_timeout) does
    not count. Said once a history; downs, and statements that cannot run in a transaction block, are exempt.

    How to fix:
    SET LOCAL statement_timeout = '60s'; at the top of the migration, or declare what your runner sets:
    pgmigrate_runner_statement_timeout = 60.

    When to ignore:
    It is information only.

    References:
    https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-STATEMENT-TIMEOUT
    """
    if settings.runner_statement_timeout is not None:
        return
    found = unlimited(judged, "PMG331", "statement_timeout", settings.statement_timeout)
    if found is None:
        return
    item, lock, off = found
    name = short(lock.relation.name)
    how = "is set to 0" if off else "is not set"
    yield Observation(
        place=item.seen.statement.place,
        message=f"statement_timeout {how} while this statement holds {lock.mode.pg} on {name}",
        effect=f"nothing ends it when it takes longer than thought, and {name} stays locked",
        fix="put SET LOCAL statement_timeout = '60s'; at the top of the file; if your runner sets it, declare it once: "
        "pgmigrate_runner_statement_timeout = 60",
        observed={**lock_facts(item, lock), "statement_timeout": "0" if off else None},
        details=(f"statement: {first_line(item.seen.statement.text)}",),
    )
