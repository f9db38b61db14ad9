"""A backfill cut after a batch and run again must come to where it comes without the cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from pytest_pgmigrate.execution.database import OUR_SCHEMAS
from pytest_pgmigrate.execution.drills import _batches
from pytest_pgmigrate.model.backfill import CutRun
from pytest_pgmigrate.model.migration import Direction, Statement

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.drills import Context
    from pytest_pgmigrate.execution.drills._backfill_rows import Target

Digests = Mapping[str, tuple[int, str | None]]
"""Rows and their sum by table."""

_TABLES = """
SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE t.typcategory <> 'D')
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname <> ALL (%s)
 GROUP BY n.nspname, c.relname
"""


def cut_and_repeat(
    context: Context, database: Database, target: Target, statement: Statement, clean: Digests
) -> CutRun | None:
    """The same rows, the up cut in its second batch and run again: what differs from the run that was not cut."""
    try:
        _batches.watch(database, target, cut=True)
        step = database.run("up cut after a batch", context.migration, Direction.UP, watched=False)
        if step.error is None or step.error.sqlstate != _batches.CUT:
            return None
        _batches.unwatch(database, target)
        retry = database.run("up after the cut", context.migration, Direction.UP, watched=False)
        if retry.error is not None:
            return CutRun(statement, retry.error.message)
        now = digests(database.control)
        return CutRun(statement, differing=tuple(_differing(clean, now)))
    except psycopg.Error:
        return None


def digests(connection: psycopg.Connection[Any]) -> Digests:
    """Rows of every table and a sum over their texts, clocks left out."""
    found = {}
    for schema, table, columns in connection.execute(_TABLES, (list(OUR_SCHEMAS),)).fetchall():
        row = sql.SQL(", ").join(map(sql.Identifier, columns or ()))
        query = sql.SQL("SELECT count(*), sum(hashtextextended(ROW({})::text, 0)::numeric)::text FROM {}").format(
            row, sql.Identifier(schema, table)
        )
        found[f"{schema}.{table}"] = connection.execute(query).fetchall()[0]
    return found


def _differing(clean: Digests, now: Digests) -> Iterator[str]:
    for table, (count, digest) in clean.items():
        other = now.get(table, (count, digest))
        if other[0] != count:
            yield f"{table}: {other[0]:,} rows, not {count:,}"
        elif other[1] != digest:
            yield f"{table}: rows have other values"
