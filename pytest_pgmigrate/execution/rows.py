"""Reads whole rows as text, keyed by primary key: for lane B, where rows of before and rows written later must survive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

MOST_ROWS = 20_000
"""A table with more rows is not compared row by row."""

PIN = (
    "SELECT set_config(name, value, true) FROM (VALUES ('search_path', ''), ('datestyle', 'ISO, MDY'),"
    " ('intervalstyle', 'postgres'), ('timezone', 'UTC'), ('extra_float_digits', '1'), ('bytea_output', 'hex'),"
    " ('lc_monetary', 'C'), ('xmloption', 'content'), ('row_security', 'off')) AS pin(name, value)"
)

# Tables a person would name: a partition's rows are read through its root.
_TABLES = """
SELECT n.nspname::text, c.relname::text, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
       array_agg(a.attname::text ORDER BY a.attnum),
       array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum),
       (SELECT array_agg(k.attname::text ORDER BY k.attname) FROM pg_catalog.pg_index i
          JOIN pg_catalog.pg_attribute k ON k.attrelid = c.oid AND k.attnum = ANY (i.indkey)
         WHERE i.indrelid = c.oid AND i.indisprimary)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname <> ALL (%s)
   AND n.nspname !~ '^pg_'
 GROUP BY c.oid, n.nspname, c.relname
"""

Key = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of one table by primary key, every value as text. Without a key they are only numbered."""

    types: Mapping[str, str]
    key: tuple[str, ...]
    rows: Mapping[Key, Mapping[str, str | None]]


def read_rows(connection: psycopg.Connection[Any], exclude_schemas: tuple[str, ...]) -> dict[str, TableRows]:
    """All rows of all tables, by name as written in SQL; a table with more than MOST_ROWS rows is left out."""
    found: dict[str, TableRows] = {}
    with connection.transaction():
        connection.execute(PIN)
        for schema, name, qualified, columns, types, key in connection.execute(
            _TABLES, (list(exclude_schemas),)
        ).fetchall():
            rows = _rows(connection, schema, name, columns, tuple(key or ()))
            if rows is not None:
                found[qualified] = TableRows(dict(zip(columns, types, strict=True)), tuple(key or ()), rows)
    return found


def _rows(
    connection: psycopg.Connection[Any], schema: str, name: str, columns: list[str], key: tuple[str, ...]
) -> dict[Key, dict[str, str | None]] | None:
    cells = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column)) for column in columns)
    query = sql.SQL("SELECT {} FROM {} LIMIT {}").format(cells, sql.Identifier(schema, name), MOST_ROWS + 1)
    fetched = connection.execute(query).fetchall()
    if len(fetched) > MOST_ROWS:
        return None
    rows: dict[Key, dict[str, str | None]] = {}
    for number, values in enumerate(fetched):
        row = dict(zip(columns, values, strict=True))
        identity: Key = tuple(row[column] for column in key) if key else (str(number),)
        rows[identity] = row
    return rows
