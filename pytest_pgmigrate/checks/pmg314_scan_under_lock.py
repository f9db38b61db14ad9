"""Rows read under a lock by anything else."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._hazards import Group, found, observe
from pytest_pgmigrate.checks._sql import as_sql
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _changes_type(group: Group) -> bool:
    return any("AlterColumnType" in kind for kind in group.statement.kinds)


def _fix(group: Group) -> str:
    table, hazard = group.table, group.first
    if _changes_type(group):
        return (
            f"drop the CHECK constraints of {table} that mention the column in the same transaction, before this statement, "
            f"add them again NOT VALID after it, and VALIDATE CONSTRAINT in a later migration: {as_sql(group.statement)}"
        )
    if hazard.lock.since < hazard.item.seen.index:
        return (
            f"move it to a migration of its own, before or after the one that locks {table}: {as_sql(group.statement)}"
            if len(group.statement.text) < 200
            else f"move it to a migration of its own, before or after the one that locks {table}"
        )
    return f"split it: read {table} in one migration, and lock it in another that does nothing else"


@check("PMG314", "scan-under-lock", part=Part.LOCKS, severity=Severity.ERROR)
def scan_under_lock(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A table is read from end to end while the same transaction keeps the application from it.

    Why it matters:
    A lock is held until COMMIT. A query after an ALTER TABLE, CREATE TABLE … AS SELECT, VALIDATE, a DO block or a
    function makes a lock of a millisecond last as long as the table takes to read. Widening a varchar is instant,
    unless a CHECK mentions the column: then every row is checked again.

    How it is measured:
    Rows read by full scans in each statement, and the locks in force meanwhile, those of earlier statements of the
    transaction included. Reads that stay the same at a second data size (--pgmigrate-scale) do not count.

    How to fix:
    Read in a migration of its own, so that the lock is given back before.

    When to ignore:
    The query finds its rows by an index in production; the server reads small tables from end to end anyway. Better:
    give row counts with --pgmigrate-production-rows.

    References:
    https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
    """
    for group in found(evidence, settings, "PMG314"):
        usual = "re-checking the constraints on the column" if _changes_type(group) else "this statement"
        yield observe(group, usual, _fix(group))
