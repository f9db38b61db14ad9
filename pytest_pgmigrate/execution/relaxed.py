"""Columns that an up lets be empty: the next release leaves them empty, and the down's SET NOT NULL meets its rows."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_pgmigrate.execution.rows import TableRows

_REQUIRED = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname::text
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
   AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname <> ALL (%s)
"""

Column = tuple[str, str]


def required(connection: psycopg.Connection[Any], exclude_schemas: tuple[str, ...]) -> frozenset[Column]:
    """Every (table, column) that is NOT NULL."""
    return frozenset((t, c) for t, c in connection.execute(_REQUIRED, (list(exclude_schemas),)).fetchall())


def leave_empty(
    connection: psycopg.Connection[Any],
    columns: Iterable[Column],
    migrated: Mapping[str, TableRows],
    written: Mapping[str, TableRows],
) -> int:
    """Empty each column in one row written after the up; returns in how many columns a constraint allowed it."""
    done = 0
    for table, column in sorted(columns):
        now, middle = written.get(table), migrated.get(table)
        if now is None or middle is None or not now.key or column not in now.types or column in now.key:
            continue
        later = next((key for key in now.rows if key not in middle.rows), None)
        if later is None:
            continue
        same = sql.SQL(" AND ").join(sql.SQL("{}::text = %s").format(sql.Identifier(name)) for name in now.key)
        query = sql.SQL("UPDATE {} SET {} = NULL WHERE {}").format(sql.SQL(table), sql.Identifier(column), same)
        with suppress(psycopg.Error), connection.transaction():
            done += connection.execute(query, later).rowcount
    return done
