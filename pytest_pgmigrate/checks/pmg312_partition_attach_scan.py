"""A partition whose rows are checked while it is locked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import last_part
from pytest_pgmigrate.checks._hazards import Group, found, observe
from pytest_pgmigrate.checks._sql import as_sql, derived
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_BOUND = re.compile(r"\b(?P<bound>FOR\s+VALUES\s.*?)\s*(?=;|\bPARTITION\s+BY\b|\bWITH\s*\(|$)", re.IGNORECASE)


def _fix(group: Group) -> str:
    statement, table = group.statement, group.table
    match = _BOUND.search(as_sql(statement))
    bound = match["bound"] if match else "the bound"
    attached = last_part(group.first.relation.name) in {last_part(name) for name in statement.relations}
    name = derived(table, "bound")
    condition = f"rows that {bound} takes, its column IS NOT NULL" if attached else f"no row that {bound} takes"
    steps = (
        f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK (<{condition}>) NOT VALID; "
        f"in a later migration ALTER TABLE {table} VALIDATE CONSTRAINT {name}; then, in one after that: {as_sql(statement)}"
    )
    return f"prove the bound before: {steps}" if attached else f"prove that the default partition holds none: {steps}"


@check("PMG312", "partition-attach-scan", part=Part.LOCKS, severity=Severity.ERROR)
def partition_attach_scan(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Every row of a partition is checked against a bound while the partition is locked.

    Why it matters:
    ATTACH PARTITION reads the whole new partition under AccessExclusiveLock to prove that its rows belong there, and
    the default partition to prove that none of its rows does. Queries of the parent that reach them wait. CREATE TABLE
    … PARTITION OF reads the default partition as well, with the parent locked too.

    How it is measured:
    Rows read in each partition, and the lock in force on it.

    How to fix:
    A CHECK with the bound's condition on the partition (its negation on the default one), NOT VALID, then validated:
    the server then believes it and reads nothing.

    When to ignore:
    The partition is small. Better: give its row count with --pgmigrate-production-rows.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-ATTACH-PARTITION
    https://www.postgresql.org/docs/current/ddl-partitioning.html
    """
    for group in found(evidence, settings, "PMG312"):
        usual = "CREATE TABLE … PARTITION OF" if group.statement.kind.startswith("CREATE") else "ATTACH PARTITION"
        yield observe(group, usual, _fix(group))
