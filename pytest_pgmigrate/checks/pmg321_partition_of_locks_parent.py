"""A partition made in one step, under the strongest lock on its parent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, short
from pytest_pgmigrate.checks._hazards import claimed
from pytest_pgmigrate.checks._locks import (
    about,
    blocked_lines,
    keeps_out,
    lock_facts,
    watched,
    weigh,
    who_waits,
)
from pytest_pgmigrate.checks._sql import as_sql, qualified
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Statement
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_BOUND = re.compile(r"\b(FOR\s+VALUES\s+.*?|DEFAULT)\s*(?:(?:PARTITION\s+BY|WITH\s*\(|TABLESPACE|USING)\b.*)?;$", re.I)


def _fix(statement: Statement, parent: str) -> str:
    child = statement.relations[0]
    found = _BOUND.search(as_sql(statement))
    bound = found[1] if found else "FOR VALUES …"
    return (
        f"CREATE TABLE {child} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS); "
        f"ALTER TABLE {parent} ATTACH PARTITION {child} {bound};"
    )


@check("PMG321", "partition-of-locks-parent", part=Part.LOCKS, severity=Severity.WARNING)
def partition_of_locks_parent(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """CREATE TABLE … PARTITION OF locks the whole partitioned table.

    Why it matters:
    It takes AccessExclusiveLock on the parent: every query of the table, on whichever partition, waits; and while the
    migration itself waits for a long query to end, all that come after it wait as well. ATTACH PARTITION takes
    ShareUpdateExclusiveLock, which nobody but other maintenance waits for.

    How it is measured:
    From the locks that the statement took on a partitioned table that existed before.

    How to fix:
    CREATE TABLE … (LIKE parent INCLUDING DEFAULTS INCLUDING CONSTRAINTS), then ALTER TABLE parent ATTACH PARTITION.
    Indexes of the parent are made on attaching; the new table is empty, so nothing is scanned.

    When to ignore:
    When the partitioned table is not in use yet, or a short lock_timeout and a retry are enough for it.

    References:
    https://www.postgresql.org/docs/current/ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE
    https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-PARTITION
    """
    work = {(step, index) for step, index, _ in claimed(evidence)}
    for item in watched(evidence):
        seen = item.seen
        if seen.statement.kind != "CREATE TABLE PARTITION OF" or seen.failed or (item.step.name, seen.index) in work:
            continue
        locks = [
            lock for lock in keeps_out(seen.taken) if lock.mode.blocks_reads and about(seen.statement, lock.relation)
        ]
        if not locks or weigh(item, settings, locks[0].relation.name) is None:
            continue
        parent = locks[0].relation.name
        yield Observation(
            place=seen.statement.place,
            message=f"CREATE TABLE {seen.statement.relations[0]} PARTITION OF takes {locks[0].mode.pg} on {short(parent)}",
            effect=who_waits(locks[0]),
            fix=_fix(seen.statement, qualified(parent)),
            observed=lock_facts(item, locks[0]),
            details=(*blocked_lines(seen), f"statement: {first_line(seen.statement.text)}"),
        )
