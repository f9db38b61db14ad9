"""A time-out too short for a statement that is meant to take long."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line
from pytest_pgmigrate.checks._locks import Watched, is_small, own_timeout, watched
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

SHORTEST_LOCK = 10_000
"""Milliseconds: CONCURRENTLY waits for every transaction that was open before it; ordinary ones end within this."""

SHORTEST_STATEMENT = 60_000
"""Milliseconds: a scan of a large table takes minutes, and nobody waits for these."""

_LONG = ("REFRESH MATVIEW CONCURRENTLY", "ALTER TABLE: ValidateConstraint")


def _in_force(item: Watched, name: str, guard: float, declared: float | None) -> tuple[float, str] | None:
    """Milliseconds and who set them: the migration, or its declared runner; None when neither did."""
    own = own_timeout(item, name, guard)
    if own is not None:
        return own, "the migration"
    return (declared * 1000, "the runner") if declared is not None else None


def _builds(item: Watched) -> bool:
    kind = item.seen.statement.kind
    return "CONCURRENTLY" in kind and ("INDEX" in kind) and not kind.startswith("DROP")


def _too_short(item: Watched, settings: Settings) -> Iterator[tuple[str, float, str]]:
    builds = _builds(item)
    if builds:
        found = _in_force(item, "lock_timeout", settings.lock_timeout, settings.runner_lock_timeout)
        if found and 0 < found[0] < SHORTEST_LOCK:
            yield "lock_timeout", *found
    if builds or any(kind in _LONG for kind in item.seen.statement.kinds):
        found = _in_force(item, "statement_timeout", settings.statement_timeout, settings.runner_statement_timeout)
        if found and 0 < found[0] < SHORTEST_STATEMENT:
            yield "statement_timeout", *found


@check("PMG335", "short-timeout-on-long-statement", part=Part.LOCKS, severity=Severity.WARNING)
def short_timeout_on_long_statement(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A short time-out is in force at a statement that takes long and blocks nobody.

    Why it matters:
    CREATE INDEX CONCURRENTLY, VALIDATE CONSTRAINT and REFRESH … CONCURRENTLY are slow by design. Cut off, they have to
    start anew; an index build leaves an INVALID index behind, which every write still maintains.

    How it is measured:
    From the time-outs as the session had them at the statement, set by the migration or declared as the runner's: at
    index builds with CONCURRENTLY a lock_timeout below 10 seconds (they wait for all transactions that were open before
    them, which counts as waiting for a lock), at all of them a statement_timeout below 60 seconds. A short lock_timeout
    at the other statements is right: giving up, they leave nothing behind.

    How to fix:
    SET statement_timeout = 0; and SET lock_timeout = 0; before such a statement, RESET after it.

    When to ignore:
    When the table is small: give its rows with pgmigrate_production_rows.

    References:
    https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-LOCK-TIMEOUT
    """
    for item in watched(evidence):
        seen = item.seen
        tables = {lock.relation.table for lock in seen.held if not lock.relation.new}
        if seen.failed or (tables and all(is_small(evidence, settings, table) for table in tables)):
            continue
        short = list(_too_short(item, settings))
        if not short:
            continue
        names = ", ".join(f"{name} = {value / 1000:g} s (set by {who})" for name, value, who in short)
        left = (
            "it ends half-way and leaves an INVALID index" if _builds(item) else "it is cut off and has to start anew"
        )
        yield Observation(
            place=seen.statement.place,
            message=f"{names} is in force at a statement that takes long: {first_line(seen.statement.text, 60)}",
            effect=f"on a large or busy table {left}",
            fix=" ".join(f"SET {name} = 0;" for name, _, _ in short)
            + " before it, and "
            + " ".join(f"RESET {name};" for name, _, _ in short)
            + " after it",
            observed={"step": item.step.name, **{name: value / 1000 for name, value, _ in short}},
            details=(f"statement: {first_line(seen.statement.text)}",),
        )
