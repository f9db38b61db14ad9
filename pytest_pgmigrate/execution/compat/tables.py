"""Tables as the old release knows them, and what became of their names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import psycopg

Row = dict[str, "str | None"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``sql`` is its name quoted where needed, ``drawn``: left out by who writes a row (serial, identity)."""

    number: int
    name: str
    sql: str
    type: str
    not_null: bool
    default: bool
    drawn: bool
    generated: bool
    in_key: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view; ``name`` is qualified and bare, ``kind`` pg_class.relkind."""

    oid: int
    name: str
    sql: str
    kind: str
    columns: tuple[Column, ...]

    @property
    def writable(self) -> bool:
        """Rows are written to it."""
        return self.kind in ("r", "p")

    @property
    def key(self) -> tuple[Column, ...]:
        """The primary key."""
        return tuple(column for column in self.columns if column.in_key)

    def column(self, name: str) -> Column | None:
        """A column by its name."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(slots=True)
class Old:
    """A table at version n-1 with rows: ``fresh`` as the application would write next, ``stored`` ones that are there."""

    table: Table
    fresh: list[Row] = field(default_factory=list)
    stored: list[Row] = field(default_factory=list)


_READ = b"""
SELECT c.oid::int8, n.nspname || '.' || c.relname, format('%%I.%%I', n.nspname, c.relname), c.relkind::text,
  (SELECT json_agg(json_build_array(a.attnum, a.attname, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
      a.attnotnull, d.oid IS NOT NULL, a.attidentity <> '' OR coalesce(pg_get_expr(d.adbin, d.adrelid), '') LIKE 'nextval(%%',
      a.attgenerated <> '', coalesce(a.attnum = ANY (i.indkey::int2[]), false)) ORDER BY a.attnum)
   FROM pg_attribute a
   LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = ''
   LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%s::oid[]) AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relpersistence <> 't' ORDER BY c.oid
"""
_OIDS = b"SELECT pg_catalog.to_regclass(name)::oid::int8 FROM unnest(%s::text[]) AS name"


def find(connection: psycopg.Connection[Any], names: Sequence[str]) -> list[int | None]:
    """The OIDs behind names as SQL writes them; None for one that is not there."""
    return [oid for (oid,) in connection.execute(_OIDS, (list(names),), prepare=False).fetchall()]


def read(connection: psycopg.Connection[Any], oids: Collection[int]) -> dict[int, Table]:
    """Tables and views by OID; those that are gone are left out."""
    rows = connection.execute(_READ, (sorted(oids),), prepare=False).fetchall()
    return {
        oid: Table(oid, name, sql, kind, tuple(Column(*column) for column in columns or ()))
        for oid, name, sql, kind, columns in rows
    }


def rows_of(connection: psycopg.Connection[Any], table: Table, most: int, *, fresh: bool = False) -> list[Row]:
    """Rows as text, in the order of the key. ``fresh``: those that this transaction wrote.

    age() is not positive for rows of the running transaction and its subtransactions.
    https://www.postgresql.org/docs/current/functions-info.html
    """
    if not table.columns:
        return []
    listed = ", ".join(f"{column.sql}::text" for column in table.columns)
    where = " WHERE age(xmin) <= 0" if fresh else ""
    order = ", ".join(column.sql for column in table.key) or "1"
    query = f"SELECT {listed} FROM {table.sql}{where} ORDER BY {order} LIMIT {most}"
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in connection.execute(query.encode(), prepare=False).fetchall()]


@dataclass(frozen=True, slots=True)
class Now:
    """What the old names of one table stand for at version n. ``table`` None: the name stands for nothing."""

    table: Table | None
    renamed: str = ""
    """The name under which the table lives on."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Old column name → SQL of the column that holds its values now; "" where it is gone."""

    gone: tuple[tuple[Column, str], ...] = ()
    """Columns that the name no longer has, with the name under which they live on, or ""."""


def compare(old: Table, same_oid: Table | None, by_name: Table | None) -> Now:
    """``same_oid`` is what became of the table itself, ``by_name`` what its name stands for now."""
    if by_name is None:
        return Now(None, same_oid.name if same_oid is not None else "")
    there = {column.name: column for column in by_name.columns}
    numbers = {column.number: column for column in by_name.columns} if by_name.oid == old.oid else {}
    columns: dict[str, str] = {}
    gone = []
    for column in old.columns:
        found = there.get(column.name)
        if found is not None:
            columns[column.name] = found.sql
            continue
        moved = numbers.get(column.number)
        # price_new becoming price: what the old release knows as price is there already.
        own = moved is not None and all(moved.name != other.name for other in old.columns)
        columns[column.name] = moved.sql if moved is not None and own else ""
        gone.append((column, moved.name if moved is not None else ""))
    return Now(by_name, columns=columns, gone=tuple(gone))
