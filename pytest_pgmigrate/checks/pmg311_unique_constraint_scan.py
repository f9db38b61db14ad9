"""A key whose index is built while nobody can use the table."""

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

_NAMED = r"\bCONSTRAINT\s+{name}\s+(?:UNIQUE|PRIMARY)\b"
_INLINE = r"\bADD\s+(?:COLUMN\s+)?(?:IF\s+NOT\s+EXISTS\s+)?{name}"
_COLUMNS = re.compile(
    r"\b(?:UNIQUE(?:\s+NULLS\s+(?:NOT\s+)?DISTINCT)?|PRIMARY\s+KEY)\s*(?P<columns>\([^)]*\))", re.IGNORECASE
)
_NAMES = {"UNIQUE": "UNIQUE", "PRIMARY": "PRIMARY KEY", "EXCLUSION": "EXCLUDE"}


def _word(group: Group) -> str:
    """Which of the three it is."""
    kinds = " ".join(group.statement.kinds)
    return next((name for word, name in _NAMES.items() if word in kinds), "UNIQUE")


def _fix(group: Group) -> str:
    statement, table, word = group.statement, group.table, _word(group)
    if word == "EXCLUDE":
        return (
            f"no form of EXCLUDE is built concurrently: make a table beside {table} that has the constraint from the start, copy "
            f"in batches behind a trigger and swap the names; or add it while the application is stopped"
        )
    if any("USING INDEX" in kind for kind in statement.kinds):
        return (
            f"make the columns of the key NOT NULL first, by CHECK (… IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT and SET NOT "
            f"NULL in migrations before; then this one reads nothing: {as_sql(statement)}"
        )
    inline = any("AddColumn" in kind for kind in statement.kinds)
    column = column_of(statement, _INLINE) if inline else ""
    match = _COLUMNS.search(as_sql(statement))
    columns = f"({column})" if inline else match["columns"] if match else "(…)"
    built = last_part(group.first.indexes[0].name) if group.first.indexes else ""
    name = column_of(statement, _NAMED) or (quoted(built) if built else derived(table, column, "key"))
    before = f"ALTER TABLE {table} ADD COLUMN {column} …; then " if inline else ""
    return (
        f"{before}in a file of its own, outside any transaction: CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} {columns}; "
        f"then ALTER TABLE {table} ADD CONSTRAINT {name} {word} USING INDEX {name};"
        + (" (its columns NOT NULL before)" if word == "PRIMARY KEY" else "")
    )


@check("PMG311", "unique-constraint-scan", part=Part.LOCKS, severity=Severity.ERROR)
def unique_constraint_scan(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The index of a UNIQUE, PRIMARY KEY or EXCLUDE constraint is built under AccessExclusiveLock.

    Why it matters:
    Adding such a constraint, by itself or with a column, reads and sorts the whole table while nobody can read or
    write it: worse than CREATE INDEX, which lets readers pass. A primary key from an existing index still reads every
    row when its columns may be NULL.

    How it is measured:
    The new index's file, the rows read, and the lock in force.

    How to fix:
    CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … USING INDEX. EXCLUDE has no such form.

    When to ignore:
    The table is small. Better: give its row count with --pgmigrate-production-rows.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html
    https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    """
    for group in found(evidence, settings, "PMG311"):
        yield observe(group, _word(group), _fix(group))
