"""Writes of the release that does not know a column yet, where a trigger of the history is to fill it.

Such a release goes on writing until the last of its processes is gone. Where no trigger anywhere in the history fills the
column, the application writes both itself, and nobody writes so any more: nothing is tried then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from pytest_pgmigrate.errors import SeedError
from pytest_pgmigrate.execution.database import OUR_SCHEMAS

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.drills import Context
    from pytest_pgmigrate.model.migration import Migration

_NEW = re.compile(r"\bNEW\.(?P<column>\w+|\"[^\"]+\")\s*:?=(?!=)", re.IGNORECASE)
ROWS = 4
"""Rows written to each table: one half inserted, with the values of the other half as updates."""

# The table's columns: name, whether a value may be given, whether it is of the primary key, whether a trigger is there.
_TABLES = """
SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum),
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attnum = ANY (i.indkey)),
       EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary AND i.indnatts = 1
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname <> ALL (%s)
   AND EXISTS (SELECT FROM pg_catalog.pg_attribute f WHERE f.attrelid = c.oid AND f.attname = ANY (%s))
 GROUP BY c.oid, n.nspname, c.relname ORDER BY 1, 2
"""


def filled_by_triggers(migrations: Iterable[Migration]) -> frozenset[str]:
    """Names of columns that a trigger function in the text of these ups assigns."""
    texts = (chunk.text for migration in migrations for chunk in migration.up.chunks)
    return frozenset(match["column"].strip('"') for text in texts for match in _NEW.finditer(text))


def write(context: Context, control: psycopg.Connection[Any]) -> bool:
    """Insert and update rows as the old release does, at version n, in a transaction of the caller's or in its own;
    returns whether anything was written.
    """
    every = context.history.migrations
    columns = filled_by_triggers(every)
    later = filled_by_triggers(every[context.migration.index + 1 :])
    written = False
    tables = control.execute(_TABLES, (list(OUR_SCHEMAS), list(columns))).fetchall() if columns else []
    for schema, table, names, key, triggered in tables:
        unknown = columns & set(names)
        # A trigger that is gone, and that nobody makes again, has had its time: so has the old release.
        if key and (triggered or later & unknown) and not unknown & set(key):
            known = [name for name in names if name not in unknown]
            written = _to(context, control, (schema, table), known, key[0]) or written
    return written


def _to(context: Context, control: psycopg.Connection[Any], table: tuple[str, str], known: list[str], key: str) -> bool:
    name = sql.Identifier(*table)
    others = [
        found
        for (found,) in control.execute(
            "SELECT schemaname || '.' || tablename FROM pg_catalog.pg_tables WHERE (schemaname, tablename) <> (%s, %s)",
            table,
        ).fetchall()
    ]
    listed = sql.SQL(", ").join(map(sql.Identifier, known))
    kept = sql.SQL("pgmigrate_written")
    try:
        with control.transaction():
            control.execute(sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {}").format(
                sql.SQL("pgmigrate_there"), sql.Identifier(key), name))  # fmt: skip
            context.seeder.write_more(control, exclude_schemas=OUR_SCHEMAS, rows=ROWS, exclude_tables=others)
            control.execute(sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {}, row_number() OVER (ORDER BY {k}) AS"
                " pgmigrate_n FROM {} WHERE {k} NOT IN (SELECT {k} FROM pgmigrate_there)").format(
                kept, listed, name, k=sql.Identifier(key)))  # fmt: skip
            control.execute(sql.SQL("DELETE FROM {} WHERE {k} IN (SELECT {k} FROM {})").format(
                name, kept, k=sql.Identifier(key)))  # fmt: skip
            half = ROWS // 2
            control.execute(sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} WHERE pgmigrate_n <= {}").format(
                name, listed, listed, kept, sql.Literal(half)))  # fmt: skip
            for column in (c for c in known if c != key):
                control.execute(sql.SQL("UPDATE {t} SET {c} = o.{c} FROM {w} m JOIN {w} o ON o.pgmigrate_n = m.pgmigrate_n + {h}"
                    " WHERE m.{k} = {t}.{k} AND m.pgmigrate_n = 1").format(
                    t=name, c=sql.Identifier(column), w=kept, k=sql.Identifier(key), h=sql.Literal(half)))  # fmt: skip
            # What the application's COMMIT would have been told.
            control.execute("SET CONSTRAINTS ALL IMMEDIATE")
            control.execute("DROP TABLE pgmigrate_there, pgmigrate_written")
        return True
    except (psycopg.Error, SeedError):
        # What the old release cannot do any more is for the checks about compatibility.
        return False
