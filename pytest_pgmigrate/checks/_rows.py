"""Differing rows as text: at most five by key with old and new values, counts by column, a query that shows them all."""

from __future__ import annotations

from pytest_pgmigrate.checks._sql import quoted
from pytest_pgmigrate.model.state import RowChange, TableChange

COPY = "pgmigrate_before"
"""The table that the advised query compares with."""

_WIDTH = 60


def row_lines(change: TableChange) -> tuple[str, ...]:
    """The differing rows of one table by key, what more there is, and the query when not all are shown."""
    lines = [_row(change.table, row) for row in change.rows]
    found = sum(change.by_change.values())
    if found <= len(change.rows):
        return tuple(lines)
    kinds = ", ".join(f"{count} {kind}" for kind, count in change.by_change.items() if count)
    columns = ", ".join(f"{name} differs in {count}" for name, count in change.by_column.items())
    about = "" if change.all_looked_at else "at least "
    lines.append(f"in all {about}{found} rows: {kinds}" + (f"; {columns}" if columns else ""))
    query = all_rows(change)
    if query:
        lines.append(f"to see them all, before: {keep(change)}")
        lines.append(f"and after: {query}")
    return tuple(lines)


def observed_rows(change: TableChange) -> dict[str, object]:
    """The same as plain values for the report."""
    found: dict[str, object] = {}
    if change.by_column:
        found["rows_by_column"] = dict(change.by_column)
    if change.by_change:
        found["rows_by_change"] = dict(change.by_change)
        found["complete"] = change.all_looked_at
    if query := all_rows(change):
        found["keep_before"], found["query_after"] = keep(change), query
    return found


def keep(change: TableChange) -> str:
    """The statement that keeps the rows as they are, to be run before."""
    return f"CREATE TABLE {COPY} AS TABLE {change.table};"


def all_rows(change: TableChange) -> str:
    """The query that shows every differing row, run after; values are compared as text, so that 1.0 is not 1.00."""
    if not change.key:
        return _whole_rows(change)
    key = ", ".join(map(quoted, change.key))
    columns = [name for name in (*change.lost_columns, *change.columns) if name not in change.key]
    columns = list(dict.fromkeys(columns))
    first = quoted(change.key[0])
    cells = [f"b.{quoted(c)} AS {_named('old', c)}, a.{quoted(c)} AS {_named('new', c)}" for c in columns]
    differing = [f"b.{quoted(c)}::text IS DISTINCT FROM a.{quoted(c)}::text" for c in columns]
    if change.all_looked_at and {kind for kind, count in change.by_change.items() if count} == {"changed"}:
        joined = f"{COPY} b JOIN {change.table} a USING ({key})"
        return f"SELECT {', '.join([key, *cells])} FROM {joined} WHERE {' OR '.join(differing)};"
    presence = (
        f"CASE WHEN b.{first} IS NULL THEN 'extra' WHEN a.{first} IS NULL THEN 'missing' ELSE 'changed' END AS change"
    )
    where = " OR ".join([f"b.{first} IS NULL", f"a.{first} IS NULL", *differing])
    return f"SELECT {', '.join([key, presence, *cells])} FROM {COPY} b FULL JOIN {change.table} a USING ({key}) WHERE {where};"


def _named(which: str, column: str) -> str:
    return quoted(f"{which}_{column}".replace('"', "")[:63])


def _whole_rows(change: TableChange) -> str:
    """Without a key a row is told by all it holds; ``RowChange.key`` then has every column."""
    if not change.rows:
        return ""
    cells = ", ".join(f"{quoted(name)}::text" for name in change.rows[0].key)
    sides = [f"SELECT {cells} FROM {table}" for table in (COPY, change.table)]
    gone, new = f"{sides[0]} EXCEPT ALL {sides[1]}", f"{sides[1]} EXCEPT ALL {sides[0]}"
    return f"SELECT 'missing' AS change, * FROM ({gone}) g UNION ALL SELECT 'extra', * FROM ({new}) n;"


def _row(table: str, row: RowChange) -> str:
    key = ", ".join(f"{name} {value}" for name, value in row.key.items())
    if row.change != "changed":
        return f"{table} row {key}: {row.change}"
    values = "; ".join(f"{name} was {_value(old)}, is {_value(new)}" for name, (old, new) in row.values.items())
    return f"{table} row {key}: {values}"


def _value(value: str | None) -> str:
    if value is None:
        return "NULL"
    text = repr(value)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…'"


def counts(change: TableChange) -> str:
    """``public.users: 20 rows, were 20; columns phone, name differ``."""
    text = f"{change.table}: {change.new_count} rows, were {change.old_count}"
    return f"{text}; {', '.join(change.columns)} differ" if change.columns else text
