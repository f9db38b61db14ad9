"""Columns that an up lets be empty: the next release leaves them empty, and the down's SET NOT NULL meets its rows."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.execution.kept import key_of
from pytest_pgmigrate.execution.rows import pinned
from pytest_pgmigrate.execution.states.digests import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_pgmigrate.execution.kept import Copy
    from pytest_pgmigrate.execution.rows import Table

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
    tables: Mapping[str, Table],
    known: Mapping[str, Copy],
) -> int:
    """Empty each column in one row whose key is not ``known``; returns in how many columns a constraint allowed it."""
    done = 0
    for name, column in sorted(columns):
        table, copy = tables.get(name), known.get(name)
        if table is None or copy is None or not table.key or column not in table.columns or column in table.key:
            continue
        later = (
            f"SELECT n.tableoid, n.ctid FROM {table.source} n"
            f" WHERE NOT EXISTS (SELECT FROM {copy.source} WHERE {copy.key()} = {key_of(table)}) LIMIT 1"
        )
        update = f"UPDATE {table.source} t SET {quote(column)} = NULL WHERE (t.tableoid, t.ctid) = ({later})"
        with suppress(psycopg.Error), pinned(connection):
            done += connection.execute(update.encode()).rowcount
    return done
