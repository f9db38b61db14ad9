"""What an application does on one table, with values written out: the statements of the old release.

Every column is named: what ``SELECT *`` gives is told apart (PMG606).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.compat.attempts import literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_pgmigrate.execution.compat.tables import Column, Row, Table


def select(table: Table, columns: Sequence[Column]) -> str:
    """All columns by name, of one row."""
    listed = ", ".join(column.sql for column in columns)
    return f"SELECT {listed} FROM {_short(table.sql)} LIMIT 1"


def insert(table: Table, row: Row, names: Mapping[str, str], *, omit: str = "", null: str = "") -> str:
    """A new row; what the server draws is left to it. ``omit`` leaves a column out, ``null`` makes it NULL."""
    values = {}
    for column in table.columns:
        name = names[column.name]
        if column.drawn or column.generated or not name or column.name == omit:
            continue
        values[name] = "NULL" if column.name == null else literal(row[column.name])
    if not values:
        return f"INSERT INTO {_short(table.sql)} DEFAULT VALUES"
    return f"INSERT INTO {_short(table.sql)} ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def update(table: Table, row: Row, names: Mapping[str, str], only: str = "") -> str:
    """Every column of one row, or ``only`` one, written with the value that the old release has read."""
    sets = [
        f"{names[column.name]} = {literal(row[column.name])}"
        for column in table.columns
        if names[column.name]
        and not (column.generated or column.in_key or column.drawn)
        and (not only or column.name == only)
    ]
    return f"UPDATE {_short(table.sql)} SET {', '.join(sets)} WHERE {_where(table, row, names)}" if sets else ""


def delete(table: Table, row: Row, names: Mapping[str, str]) -> str:
    """One row."""
    return f"DELETE FROM {_short(table.sql)} WHERE {_where(table, row, names)}"


def same_names(table: Table) -> dict[str, str]:
    """The names of version n-1 as they are."""
    return {column.name: column.sql for column in table.columns}


def _where(table: Table, row: Row, names: Mapping[str, str]) -> str:
    keyed = [f"{names[column.name]} = {literal(row[column.name])}" for column in table.key if names[column.name]]
    if keyed and len(keyed) == len(table.key):
        return " AND ".join(keyed)
    return f"ctid = (SELECT ctid FROM {_short(table.sql)} LIMIT 1)"


def _short(sql: str) -> str:
    return sql.removeprefix("public.")
