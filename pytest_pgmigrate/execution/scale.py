"""The up once more on a database with more rows: what grows with them is O(n), what does not is O(1).

Counters, not seconds: rows read and files rewritten are the same on every machine and at every load.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.database import OUR_SCHEMAS
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.model.watch import Scaled, StatementSeen

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.model.cluster import Seeder
    from pytest_pgmigrate.model.evidence import Step
    from pytest_pgmigrate.model.migration import Migration

TIMES = 4
"""Rows added, as a multiple of those asked for."""


def measure(database: Database, migration: Migration, seeder: Seeder, rows: int, small: Step) -> tuple[Scaled, ...]:
    """Add rows to every table of ``database`` (at n-1), run the up and compare its counters with those of ``small``.

    Empty when the up fails there, which lane B or the seeding of the next migration will show.
    """
    tables = _tables(small.watched)
    before = _count(database, tables)
    seeder.write_more(database.control, exclude_schemas=OUR_SCHEMAS, rows=TIMES * rows)
    after = _count(database, tables)
    large = database.run("up at a second size", migration, Direction.UP, watched=True)
    if large.error is not None:
        return ()
    found = []
    for few, many in zip(small.watched, large.watched, strict=False):
        found += [_scaled(few, many, table, (before[table], after[table])) for table in tables]
    return tuple(item for item in found if any(item.read) or any(item.rewritten))


def _tables(statements: Iterable[StatementSeen]) -> dict[str, int]:
    """OIDs of the tables that existed before and of which anything was read or rewritten; a clone has the same ones."""
    relations = [count.relation for s in statements for count in s.counts]
    relations += [relation for s in statements for relation in s.rewritten]
    return {relation.name: relation.oid for relation in relations if not relation.new}


def _scaled(few: StatementSeen, many: StatementSeen, table: str, rows: tuple[int, int]) -> Scaled:
    counts = [seen.count(table) for seen in (few, many)]
    read = [count.read if count else 0 for count in counts]
    rewritten = [any(r.name == table for r in seen.rewritten) for seen in (few, many)]
    return Scaled(few.index, table, rows, (read[0], read[1]), (rewritten[0], rewritten[1]))


def _count(database: Database, tables: Mapping[str, int]) -> dict[str, int]:
    """Rows of each table."""
    counts = {}
    for name, oid in tables.items():
        written = database.control.execute("SELECT %s::oid::regclass::text", (oid,)).fetchall()[0][0]
        counts[name] = int(database.control.execute(f"SELECT count(*) FROM {written}").fetchall()[0][0])
    return counts
