"""An index dropped under a lock that stops everything."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, short
from pytest_pgmigrate.checks._hazards import blocking_lock
from pytest_pgmigrate.checks._locks import (
    Watched,
    blocked_lines,
    lock_facts,
    watched,
    weigh,
    who_waits,
)
from pytest_pgmigrate.checks._sql import qualified
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.watch import Lock, Relation
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _dropped(item: Watched) -> tuple[Relation, ...]:
    """Indexes that existed before and that the statement took for itself; those of partitions go with their parent's."""
    found = [lock.relation for lock in item.seen.taken if lock.mode.blocks_reads and not lock.relation.new]
    whole = [r for r in found if r.kind == "partitioned index"]
    return tuple(whole or [r for r in found if r.kind == "index"])


def _table_lock(item: Watched, index: Relation) -> Lock | None:
    for lock in item.seen.held:
        if lock.relation.name == index.table and lock.relation.holds_rows and not lock.relation.new:
            return blocking_lock(item.seen, lock.relation)
    return None


def _fix(indexes: tuple[Relation, ...]) -> str:
    if indexes[0].kind == "partitioned index":
        return (
            "CONCURRENTLY is refused for the index of a partitioned table: SET LOCAL lock_timeout = '5s'; "
            "before it, and try again when it times out"
        )
    drops = " ".join(f"DROP INDEX CONCURRENTLY {qualified(index.name)};" for index in indexes)
    return f"in a file of its own, outside any transaction, one index each: {drops}"


@check("PMG302", "index-drop-blocks", part=Part.LOCKS, severity=Severity.WARNING)
def index_drop_blocks(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """An index of an existing table is dropped without CONCURRENTLY.

    Why it matters:
    DROP INDEX itself is quick, but it needs AccessExclusiveLock on the table: it waits behind the longest running
    query, and every query that comes later waits behind it.

    How it is measured:
    The locks in force after the statement, before COMMIT.

    How to fix:
    DROP INDEX CONCURRENTLY, one index a statement, without CASCADE, as the only statement of its file.

    When to ignore:
    A short lock_timeout is set and the migration is tried again when it hits.

    References:
    https://www.postgresql.org/docs/current/sql-dropindex.html
    """
    for item in watched(evidence):
        indexes = _dropped(item) if item.seen.statement.kind == "DROP INDEX" and not item.seen.failed else ()
        lock = _table_lock(item, indexes[0]) if indexes else None
        severity = weigh(item, settings, lock.relation.name, Severity.WARNING) if lock else None
        if lock is None or severity is None:
            continue
        names = ", ".join(short(index.name) for index in indexes)
        yield Observation(
            place=item.seen.statement.place,
            message=f"DROP INDEX of {names} took {lock.mode.pg} on {short(lock.relation.name)}",
            effect=who_waits(lock) + ", and the statement itself waits for every query that is running",
            fix=_fix(indexes),
            observed={**lock_facts(item, lock), "indexes": [index.name for index in indexes]},
            details=(*blocked_lines(item.seen), f"statement: {first_line(item.seen.statement.text)}"),
            severity=severity,
        )
