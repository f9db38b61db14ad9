"""A CHECK proven by reading the table while nobody can use it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import last_part
from pytest_pgmigrate.checks._hazards import Group, found, observe
from pytest_pgmigrate.checks._sql import as_sql, column_of, derived, quoted
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_NAMED = r"\bCONSTRAINT\s+{name}\s+CHECK\b"
_INLINE = r"\bADD\s+(?:COLUMN\s+)?(?:IF\s+NOT\s+EXISTS\s+)?{name}"
_VALIDATED = r"\bVALIDATE\s+CONSTRAINT\s+{name}"


def condition(sql: str) -> str:
    """``(price > 0)``: the parenthesised group behind the first CHECK; ``(…)`` where there is none."""
    match = re.search(r"\bCHECK\s*\(", sql, re.IGNORECASE)
    if match is None:
        return "(…)"
    depth = 0
    for place in range(match.end() - 1, len(sql)):
        depth += (sql[place] == "(") - (sql[place] == ")")
        if depth == 0:
            return sql[match.end() - 1 : place + 1]
    return "(…)"


def _fix(group: Group) -> str:
    statement, table, sql = group.statement, group.table, as_sql(group.statement)
    if statement.kind == "alter_domain_stmt":
        domain = quoted(last_part(statement.relations[0])) if statement.relations else "the domain"
        return (
            f"VALIDATE of a domain's constraint blocks writes too: leave {domain} as it is (or its new constraint NOT VALID), "
            f"and give {table} a CHECK of its own: ALTER TABLE {table} ADD CONSTRAINT … CHECK {condition(sql)} NOT VALID; "
            f"and in a later migration VALIDATE CONSTRAINT, which blocks nobody"
        )
    if any(kind.endswith(": ValidateConstraint") for kind in statement.kinds):
        name = column_of(statement, _VALIDATED) or "<constraint>"
        return f"move it to a migration after this one: ALTER TABLE {table} VALIDATE CONSTRAINT {name};"
    inline = any("AddColumn" in kind for kind in statement.kinds)
    column = column_of(statement, _INLINE) if inline else ""
    name = column_of(statement, _NAMED) or derived(table, column, "check")
    added = f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK {condition(sql)} NOT VALID;"
    before = f"ALTER TABLE {table} ADD COLUMN {column} … without the CHECK; " if inline else ""
    return f"{before}{added} and in a later migration: ALTER TABLE {table} VALIDATE CONSTRAINT {name};"


@check("PMG309", "scan-for-check", part=Part.LOCKS, severity=Severity.ERROR)
def scan_for_check(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Every row is checked against a new CHECK while the table is locked.

    Why it matters:
    ADD CONSTRAINT … CHECK, by itself or with a column, reads the whole table under AccessExclusiveLock. A
    constraint of a domain does so with every table that uses it. NOT VALID helps only when VALIDATE comes in a later
    transaction: in the same one the lock of the ADD is still held.

    How it is measured:
    Rows read by the statement, and the locks in force while it ran, those of earlier statements included.

    How to fix:
    ADD CONSTRAINT … NOT VALID, and VALIDATE CONSTRAINT in a migration of its own.

    When to ignore:
    The table is small. Better: give its row count with --pgmigrate-production-rows.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
    https://www.postgresql.org/docs/current/sql-alterdomain.html
    """
    for group in found(evidence, settings, "PMG309"):
        validated = any(kind.endswith(": ValidateConstraint") for kind in group.statement.kinds)
        yield observe(group, "VALIDATE CONSTRAINT" if validated else "CHECK", _fix(group))
