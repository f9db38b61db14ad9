"""A backfill cut after a batch and run again must come to where it comes without the cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.execution.database import OUR_SCHEMAS
from pytest_pgmigrate.execution.drills import _backfill_rows as rows
from pytest_pgmigrate.execution.drills import _batches
from pytest_pgmigrate.execution.rows import read_rows
from pytest_pgmigrate.model.backfill import CutRun
from pytest_pgmigrate.model.migration import Direction, Statement

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.drills import Context
    from pytest_pgmigrate.execution.drills._backfill_rows import Target
    from pytest_pgmigrate.execution.rows import TableRows


def cut_and_repeat(
    context: Context, target: Target, statement: Statement, existing: bool, clean: Mapping[str, TableRows]
) -> CutRun | None:
    """The same rows, the up cut in its second batch and run again: what differs from the run that was not cut."""
    database = rows.prepare(context, target, existing=existing)
    if database is None:
        return None
    try:
        _batches.watch(database, target, cut=True)
        step = database.run("up cut after a batch", context.migration, Direction.UP, watched=False)
        if step.error is None or step.error.sqlstate != _batches.CUT:
            return None
        _batches.unwatch(database, target)
        retry = database.run("up after the cut", context.migration, Direction.UP, watched=False)
        if retry.error is not None:
            return CutRun(statement, retry.error.message)
        now = read_rows(database.control, OUR_SCHEMAS)
        return CutRun(statement, differing=tuple(_differing(clean, now)))
    except psycopg.Error:
        return None
    finally:
        context.space.spend(database)


def _differing(clean: Mapping[str, TableRows], now: Mapping[str, TableRows]) -> Iterator[str]:
    for table, whole in clean.items():
        other = now.get(table)
        if other is not None and len(other.rows) != len(whole.rows):
            yield f"{table}: {len(other.rows):,} rows, not {len(whole.rows):,}"
        elif other is not None:
            wrong = sum(1 for key, row in whole.rows.items() if not _same(other.rows.get(key), row, whole.types))
            if wrong and whole.key:
                yield f"{table}: {wrong:,} rows have other values"


def _same(found: Any, row: Any, types: Any) -> bool:
    """Equal but for clocks, which are never the same."""
    return found is not None and all(
        found.get(column) == value or types[column].startswith(("timestamp", "date", "time"))
        for column, value in row.items()
    )
