"""A backfill cut after a batch and run again must come to where it comes without the cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from pytest_pgmigrate.execution.database import OUR_SCHEMAS
from pytest_pgmigrate.execution.drills import _backfill_rows as rows
from pytest_pgmigrate.execution.drills import _batches
from pytest_pgmigrate.execution.drills._standing import moved, put_back
from pytest_pgmigrate.model.backfill import CutRun
from pytest_pgmigrate.model.migration import Direction, Statement

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.drills import Context
    from pytest_pgmigrate.execution.drills._backfill_rows import Target

Digests = Mapping[str, tuple[int, str | None]]
"""Rows and their sum by table."""

_COLUMN = "SELECT FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attname = %s AND NOT attisdropped"
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
    """The same rows, the up cut in its second batch and run again: what differs from the run that was not cut.

    What differs only because the batch that was cut had drawn numbers from a sequence does not count.
    """
    found, lost = _tried(context, database, target, statement, clean)
    if not lost or found is None or not (found.error or found.differing):
        return found
    # Numbers drawn by a commit between the batches would be drawn twice: an error counts in a plain run alone.
    spare = rows.prepare(context, target, existing=_existing(context, target))
    if spare is None:
        return found
    try:
        other, _ = _tried(context, spare, target, statement, clean, put_sequences_back=True)
    finally:
        context.space.spend(spare)
    return found if other is None or other.error else other


def _existing(context: Context, target: Target) -> bool:
    """Whether the column is there already at version n-1."""
    base = context.space.connect_base()
    try:
        return bool(base.execute(_COLUMN, (target.oid, target.column)).fetchall())
    finally:
        base.close()


def _tried(
    context: Context,
    database: Database,
    target: Target,
    statement: Statement,
    clean: Digests,
    *,
    put_sequences_back: bool = False,
) -> tuple[CutRun | None, bool]:
    """One such run, None when it could not be cut; and whether a sequence had moved after the first batch."""
    try:
        _batches.watch(database, target, cut=True)
        step = database.run("up cut after a batch", context.migration, Direction.UP, watched=False)
        if step.error is None or step.error.sqlstate != _batches.CUT:
            return None, False
        _batches.unwatch(database, target)
        stood = _batches.stood(database)
        lost = bool(moved(database.control, stood))
        if put_sequences_back:
            put_back(database.control, stood)
        retry = database.run("up after the cut", context.migration, Direction.UP, watched=False)
        if retry.error is not None:
            return CutRun(statement, retry.error.message), lost
        return CutRun(statement, differing=tuple(_differing(clean, digests(database.control)))), lost
    except psycopg.Error:
        return None, False


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
