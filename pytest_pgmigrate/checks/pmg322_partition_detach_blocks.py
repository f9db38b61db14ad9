"""A partition detached under the strongest lock on its parent."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, short
from pytest_pgmigrate.checks._locks import (
    blocked_lines,
    keeps_out,
    lock_facts,
    watched,
    weigh,
    who_waits,
)
from pytest_pgmigrate.checks._sql import qualified
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG322", "partition-detach-blocks", part=Part.LOCKS, severity=Severity.WARNING)
def partition_detach_blocks(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """DETACH PARTITION without CONCURRENTLY locks the whole partitioned table.

    Why it matters:
    It takes AccessExclusiveLock on the parent and the partition: every query of the table, on whichever partition,
    waits, also while the migration itself still waits for a long query to end.

    How it is measured:
    From the locks that the statement took on a partitioned table that existed before.

    How to fix:
    ALTER TABLE … DETACH PARTITION … CONCURRENTLY, outside a transaction block, alone in its file. It cannot be used
    while the table has a default partition. Interrupted, it is ended with DETACH PARTITION … FINALIZE.

    When to ignore:
    When the table has a default partition: then set a short lock_timeout and try again.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DETACH-PARTITION
    """
    for item in watched(evidence):
        seen = item.seen
        if seen.failed or "ALTER TABLE: DetachPartition" not in seen.statement.kinds:
            continue
        locks = [lock for lock in keeps_out(seen.taken) if lock.relation.kind == "partitioned table"]
        if not locks or weigh(item, settings, locks[0].relation.name) is None:
            continue
        lock, names = locks[0], seen.statement.relations
        partition = names[1] if len(names) > 1 else "…"
        yield Observation(
            place=seen.statement.place,
            message=f"DETACH PARTITION {partition} takes {lock.mode.pg} on {short(lock.relation.name)}",
            effect=who_waits(lock),
            fix="outside a transaction, alone in its migration: "
            f"ALTER TABLE {qualified(lock.relation.name)} DETACH PARTITION {partition} CONCURRENTLY; "
            "(refused where there is a DEFAULT partition: there, SET LOCAL lock_timeout = '5s'; and try again)",
            observed=lock_facts(item, lock),
            details=(*blocked_lines(seen), f"statement: {first_line(seen.statement.text)}"),
        )
