"""NOT NULL proven by reading the table while nobody can use it."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._hazards import Group, found, observe
from pytest_pgmigrate.checks._sql import column_of, derived
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_SET = r"\bALTER\s+(?:COLUMN\s+)?{name}\s+SET\s+NOT\s+NULL\b"
_ADD = r"\bNOT\s+NULL\s+{name}"


def _fix(group: Group) -> str:
    statement, table = group.statement, group.table
    if statement.kind == "alter_domain_stmt":
        return (
            "ALTER DOMAIN reads every table that uses the domain, NOT VALID or not: leave the domain as it is, and make the "
            f"column of {table} NOT NULL by CHECK (… IS NOT NULL) NOT VALID and VALIDATE CONSTRAINT"
        )
    if "ValidateConstraint" in str(statement.kinds):
        return "put VALIDATE CONSTRAINT into a later migration: by itself it blocks neither reads nor writes"
    column = column_of(statement, _SET) or column_of(statement, _ADD) or "<column>"
    name = derived(table, column, "not_null")
    return (
        f"over three migrations: ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID; "
        f"then ALTER TABLE {table} VALIDATE CONSTRAINT {name}; "
        f"then ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL; ALTER TABLE {table} DROP CONSTRAINT {name}; "
        f"(on PostgreSQL 18 or later two are enough: ALTER TABLE {table} ADD CONSTRAINT {name} NOT NULL {column} NOT VALID; "
        f"then ALTER TABLE {table} VALIDATE CONSTRAINT {name};)"
    )


@check("PMG308", "scan-for-not-null", part=Part.LOCKS, severity=Severity.ERROR)
def scan_for_not_null(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Every row is read for NULL under AccessExclusiveLock.

    Why it matters:
    SET NOT NULL reads the whole table to prove that no row breaks it, and nobody can read or write the table until
    it is through.

    How it is measured:
    Rows read by the statement, and the lock it held. Where a valid CHECK already says so the server reads nothing,
    and nothing is reported.

    How to fix:
    CHECK (… IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT in a later migration, then SET NOT NULL, which then reads
    nothing. On PostgreSQL 18: ADD CONSTRAINT … NOT NULL … NOT VALID, then VALIDATE CONSTRAINT.

    When to ignore:
    The table is small. Better: give its row count with --pgmigrate-production-rows.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html
    """
    for group in found(evidence, settings, "PMG308"):
        yield observe(group, "NOT NULL", _fix(group))
