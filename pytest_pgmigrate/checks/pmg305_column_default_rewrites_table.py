"""A new column that makes the server write the whole table anew."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._hazards import Group, found, observe
from pytest_pgmigrate.checks._sql import as_sql, column_of, derived
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_ADDED = r"\bADD\s+(?:COLUMN\s+)?(?:IF\s+NOT\s+EXISTS\s+)?{name}"
_EXPRESSION = r"\bALTER\s+(?:COLUMN\s+)?{name}\s+SET\s+EXPRESSION\b"
_END = r"(?=\s+(?:NOT\s+NULL|NULL|UNIQUE|PRIMARY|CHECK|REFERENCES|CONSTRAINT|GENERATED)\b|\s*,\s*(?:ADD|ALTER|DROP)\b|\s*;)"
_TYPE = re.compile(
    r"\s+(?P<type>.+?)(?=\s+(?:DEFAULT|NOT|NULL|UNIQUE|PRIMARY|CHECK|REFERENCES|CONSTRAINT|GENERATED)\b|[,;])", re.I
)
_DEFAULT = re.compile(rf"\bDEFAULT\s+(?P<value>.+?){_END}", re.IGNORECASE)
_GENERATED = re.compile(r"\bGENERATED\s+ALWAYS\s+AS\s+(?P<value>\(.+\))\s+STORED\b", re.IGNORECASE)
_COUNTED = {"serial": "integer", "bigserial": "bigint", "smallserial": "smallint"}
_COUNTED |= {"serial4": "integer", "serial8": "bigint", "serial2": "smallint"}


def _action(group: Group) -> tuple[str, str]:
    """The action that rewrote, on one line, and its column."""
    sql = as_sql(group.statement)
    actions = re.split(r",(?=\s*(?:ADD|ALTER|DROP|SET)\b)", sql, flags=re.IGNORECASE)
    rewriting = re.compile(
        r"\bSERIAL|\bBIGSERIAL|\bSMALLSERIAL|\bGENERATED\b|\bDEFAULT\b|\bEXPRESSION\b", re.IGNORECASE
    )
    text = next((action for action in actions if rewriting.search(action)), actions[0])
    return text.rstrip("; ") + ";", column_of(text, _ADDED) or column_of(text, _EXPRESSION) or "<column>"


def _fix(group: Group) -> str:
    table = group.table
    text, column = _action(group)
    behind = re.split(rf"(?<![\w$]){re.escape(column)}(?![\w$])", text, maxsplit=1, flags=re.IGNORECASE)[-1]
    match = _TYPE.match(behind)
    kind = match["type"] if match else "<type>"
    stored = _GENERATED.search(text)
    if stored or "EXPRESSION" in text.upper():
        value = stored["value"] if stored else "(…)"
        return (
            f"ALTER TABLE {table} ADD COLUMN {column} {kind}; then a trigger that sets it, and UPDATE {table} in batches; "
            f"on PostgreSQL 18 or later a virtual column rewrites nothing: "
            f"ALTER TABLE {table} ADD COLUMN {column} {kind} GENERATED ALWAYS AS {value} VIRTUAL;"
        )
    default = _DEFAULT.search(text)
    value = default["value"] if default else ""
    steps = [f"ALTER TABLE {table} ADD COLUMN {column} {_COUNTED.get(kind.lower(), kind)};"]
    if not value:  # serial and identity count with a sequence
        sequence = derived(table, column, "seq")
        steps.append(f"CREATE SEQUENCE {sequence} OWNED BY {table}.{column};")
        value = f"nextval('{sequence}')"
    steps.append(f"ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {value};")
    steps.append(f"then UPDATE {table} SET {column} = {value} WHERE {column} IS NULL, in batches of a later migration")
    if re.search(r"\bNOT\s+NULL\b", text, re.IGNORECASE):
        steps.append("and NOT NULL after that, behind a CHECK that was NOT VALID and is validated")
    return " ".join(steps)


@check("PMG305", "column-default-rewrites-table", part=Part.LOCKS, severity=Severity.ERROR)
def column_default_rewrites_table(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A new column's value is computed for every row, and the table written anew under AccessExclusiveLock.

    Why it matters:
    A constant default, or one that is the same for the whole statement such as now(), costs nothing. One that differs
    from row to row (random(), clock_timestamp(), gen_random_uuid(), a sequence, GENERATED … STORED) makes the server
    copy the table and rebuild every index while nobody can even read it.

    How it is measured:
    The table's file before and after the statement, and the lock it held.

    How to fix:
    Add the column without the default, set the default for new rows, fill the old ones in batches. On PostgreSQL 18 a
    generated column may be VIRTUAL.

    When to ignore:
    The table is small, or the application is stopped. Better: give its row count with --pgmigrate-production-rows.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
    https://www.postgresql.org/docs/current/ddl-generated-columns.html
    """
    for group in found(evidence, settings, "PMG305"):
        column = _action(group)[1]
        verb = "SET EXPRESSION of" if "SetExpression" in group.statement.kind else "ADD COLUMN"
        indexes = len(group.first.indexes)
        effect = f"{indexes} index{'' if indexes == 1 else 'es'} built anew on the way" if indexes else ""
        yield observe(group, f"{verb} {column}", _fix(group), effect=effect)
