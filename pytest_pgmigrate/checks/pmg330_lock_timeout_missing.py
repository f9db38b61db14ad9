"""A blocking lock that the migration would wait for without an end."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, short
from pytest_pgmigrate.checks._locks import lock_facts, unlimited
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.judgement import Judgement
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG330", "lock-timeout-missing", part=Part.LOCKS, severity=Severity.WARNING)
def lock_timeout_missing(judged: Judgement, settings: Settings) -> Iterator[Observation]:
    """A statement locks out the application, and no lock_timeout limits how long it waits for that lock.

    Why it matters:
    A waiting lock request already stands in the queue: behind one long report the ALTER TABLE waits, and behind the
    ALTER TABLE every other query of the table. lock_timeout makes the migration give way instead of the application.

    How it is measured:
    From lock_timeout as the session had it at the statement. The limit that the run itself sets as a guard
    (pgmigrate_lock_timeout) does not count as the migration's. Said once a history; downs, and statements that cannot
    run in a transaction block, are exempt.

    How to fix:
    SET LOCAL lock_timeout = '5s'; at the top of the migration, and run it again when it gave up. If your migration
    runner sets it, declare that: pgmigrate_runner_lock_timeout = 5.

    When to ignore:
    When the migration runs while the application is down.

    References:
    https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-LOCK-TIMEOUT
    """
    if settings.runner_lock_timeout is not None:
        return
    found = unlimited(judged, "PMG330", "lock_timeout", settings.lock_timeout)
    if found is None:
        return
    item, lock, off = found
    name = short(lock.relation.name)
    how = "is set to 0" if off else "is not set"
    yield Observation(
        place=item.seen.statement.place,
        message=f"lock_timeout {how} when this statement asks for {lock.mode.pg} on {name}",
        effect=f"behind one long query of {name} it waits without an end, and every later query of {name} waits behind it",
        fix="put SET LOCAL lock_timeout = '5s'; at the top of the file; if your runner sets it, declare it once: "
        "pgmigrate_runner_lock_timeout = 5",
        observed={**lock_facts(item, lock), "lock_timeout": "0" if off else None},
        details=(f"statement: {first_line(item.seen.statement.text)}",),
    )
