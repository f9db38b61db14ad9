"""Edge rows in words: what a migration assumes of a column, and the query that finds such rows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_pgmigrate.checks._common import short
from pytest_pgmigrate.model.cluster import EdgeRow
from pytest_pgmigrate.model.evidence import LostEdge, ServerError

_DUPLICATES = ("a duplicate", "a duplicate in other case")


def identifier(name: str) -> str:
    """A column as the user writes it: delimited where it must be."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_$]*", name) else '"' + name.replace('"', '""') + '"'


def table_name(row: EdgeRow) -> str:
    """The row's table as the user writes it."""
    schema, _, table = row.table.partition(".")
    return identifier(table) if schema == "public" else f"{identifier(schema)}.{identifier(table)}"


def names_of(rows: Sequence[EdgeRow]) -> tuple[str, ...]:
    """The names of the values, each once."""
    return tuple(dict.fromkeys(row.name for row in rows))


def what_is_assumed(rows: Sequence[EdgeRow], error: ServerError) -> str:
    """``there is no NULL in users.phone``."""
    names = names_of(rows)
    column = f"{short(rows[0].table)}.{rows[0].column}"
    if names[0] in _DUPLICATES and len(names) == 1:
        return f"no two rows have the same {column}" + (" in upper and lower case" if names[0] != "a duplicate" else "")
    if set(names) <= set(_DUPLICATES):
        return f"no two rows have the same {column}"
    if error.sqlstate == "23503":
        return f"that every {column} has its row in the other table"
    if match := re.search(r'check constraint "([^"]+)"', error.message):
        return f"that every {column} meets {match[1]}"
    if match := re.search(r"invalid input (?:syntax|value) for (?:type|enum) ([\w ]+)", error.message):
        return f"that every {column} can be read as {match[1]}"
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return f"there is no {shown.replace(', ', ' or ') if len(names) == 2 else shown} in {column}"


def condition(rows: Sequence[EdgeRow], error: ServerError) -> str:
    """A query for the rows in question, "" where no short one tells."""
    table, column = table_name(rows[0]), identifier(rows[0].column)
    names = names_of(rows)
    if set(names) <= set(_DUPLICATES):
        by = f"lower({column})" if "a duplicate in other case" in names else column
        return f"SELECT {by}, count(*) FROM {table} GROUP BY 1 HAVING count(*) > 1"
    parts = [part for part in (_condition(column, row) for row in rows) if part]
    if not parts or len(parts) > 4 or error.sqlstate == "23503":
        return ""
    return f"SELECT count(*) FROM {table} WHERE {' OR '.join(dict.fromkeys(parts))}"


def _condition(column: str, row: EdgeRow) -> str:
    if row.name == "NULL":
        return f"{column} IS NULL"
    if row.name == "''":
        return f"{column} = ''"
    if row.name == "blank":
        return f"btrim({column}) = ''"
    if row.name in ("infinity", "-infinity", "NaN"):
        return f"{column} = '{row.name}'"
    if row.name == "-1":
        return f"{column} < 0"
    if row.name == "0":
        return f"{column} = 0"
    if match := re.fullmatch(r"(\d+) characters", row.name):
        return f"length({column}) >= {match[1]}"
    if row.value is not None and re.fullmatch(r"-?\d+(\.\d+)?", row.value):
        return f"{column} {'>=' if not row.value.startswith('-') else '<='} {row.value}"
    return ""


def row_text(row: EdgeRow) -> str:
    """``users row id 51: phone NULL``."""
    key = ", ".join(f"{name} {value}" for name, value in row.key.items())
    value = "NULL" if row.value is None else repr(row.value if len(row.value) <= 40 else row.value[:39] + "…")
    named = "" if row.name in ("NULL", "''") or row.name == row.value else f" ({row.name})"
    return f"{short(row.table)}{f' row {key}' if key else ''}: {row.column} {value}{named}"


def became(lost: LostEdge) -> str:
    """What up and down made of an edge row."""
    if lost.gone:
        return "is gone"
    return "became NULL" if lost.now is None else f"became {lost.now[:60]!r}"
