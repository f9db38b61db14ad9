"""A foreign key proven by reading the table while writes to both tables wait."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._hazards import Group, also_locked, found, observe
from pytest_pgmigrate.checks._sql import column_of, derived, replaced
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_NAMED = r"\bCONSTRAINT\s+{name}\s+(?:FOREIGN|REFERENCES)\b"
_KEY = r"\bFOREIGN\s+KEY\s*\(\s*{name}"
_INLINE = r"\bADD\s+(?:COLUMN\s+)?(?:IF\s+NOT\s+EXISTS\s+)?{name}"
_VALIDATED = r"\bVALIDATE\s+CONSTRAINT\s+{name}"


def _fix(group: Group) -> str:
    statement, table = group.statement, group.table
    if any(kind.endswith(": ValidateConstraint") for kind in statement.kinds):
        name = column_of(statement, _VALIDATED) or "<constraint>"
        return f"move it to a migration after this one: ALTER TABLE {table} VALIDATE CONSTRAINT {name};"
    inline = any("AddColumn" in kind for kind in statement.kinds)
    column = (column_of(statement, _INLINE) if inline else column_of(statement, _KEY)) or "<column>"
    name = column_of(statement, _NAMED) or derived(table, column, "fkey")
    later = f"and in a later migration: ALTER TABLE {table} VALIDATE CONSTRAINT {name};"
    if not inline and len(statement.kinds) == 1:
        return f"{replaced(statement, r';$', ' NOT VALID;')} {later}"
    target = column_of(statement, r"\bREFERENCES\s+{name}") or "<table>"
    key = f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {target} NOT VALID;"
    return (
        f"ALTER TABLE {table} ADD COLUMN {column} … without REFERENCES; {key} {later}" if inline else f"{key} {later}"
    )


@check("PMG310", "foreign-key-scan", part=Part.LOCKS, severity=Severity.ERROR)
def foreign_key_scan(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Every row is looked up in the referenced table while writes to both tables wait.

    Why it matters:
    ADD FOREIGN KEY holds ShareRowExclusiveLock on the table and on the one it refers to until each row has been
    looked up there: writes to both stand still. ADD COLUMN … REFERENCES with a default does the same under
    AccessExclusiveLock.

    How it is measured:
    Rows read by the statement, and the locks in force while it ran, those of earlier statements included. A NOT VALID
    key, and a new column without default, read nothing and are not reported.

    How to fix:
    ADD CONSTRAINT … FOREIGN KEY … NOT VALID, and VALIDATE CONSTRAINT in a migration of its own.

    When to ignore:
    The table is small. Better: give its row count with --pgmigrate-production-rows.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
    """
    for group in found(evidence, settings, "PMG310"):
        validated = any(kind.endswith(": ValidateConstraint") for kind in group.statement.kinds)
        yield observe(
            group, "VALIDATE CONSTRAINT" if validated else "FOREIGN KEY", _fix(group), also=also_locked(group)
        )
