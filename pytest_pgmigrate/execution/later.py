"""Lane B: what an application wrote after the deploy must survive the rollback, and so must every row of before.

Rows stay on the server (``kept``), whatever their number; looked up again are those of tables that the up or the down may
have changed (``since``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from pytest_pgmigrate.execution import survived
from pytest_pgmigrate.execution.bookkeeping import bookkeeping
from pytest_pgmigrate.execution.database import OUR_SCHEMAS
from pytest_pgmigrate.execution.kept import Copy, Kept
from pytest_pgmigrate.execution.ledger import SCHEMA
from pytest_pgmigrate.execution.names import plain
from pytest_pgmigrate.execution.rows import Table, read_tables
from pytest_pgmigrate.execution.since import Since, changed, reshaped
from pytest_pgmigrate.execution.unkeyed import Unkeyed
from pytest_pgmigrate.model.evidence import LaterRows, LostRows
from pytest_pgmigrate.model.migration import Direction

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.model.cluster import Seeder
    from pytest_pgmigrate.model.migration import Migration

_PASSES = 3
"""Rows that others refer to are deleted after those: as many levels of references as are followed."""

Tables = Mapping[str, Table]


@dataclass(slots=True)
class _Lane:
    """What is known on the way: tables before and after the up, copies, and what the up left as it was."""

    kept: Kept
    since: Since
    before: Tables
    copies: dict[str, Copy]
    migrated: Tables = field(default_factory=dict)
    by_up: set[str] = field(default_factory=set)
    beside: dict[str, survived.Kin] = field(default_factory=dict)
    """The tables that the up may have changed, beside their rows of before, when later rows are written."""


def examine(database: Database, migration: Migration, seeder: Seeder, rows: int, *, room: bool = True) -> LaterRows:
    """Up, further rows in every table, down; then look for what the down did not keep.

    ``room``: the up lets tables hold more than before. The rows then fit the version before as well; what only the new
    version can hold is tried apart (edge.py).
    """
    try:
        with Since(database) as since:
            return _examine(database, migration, seeder, rows, since, room=room)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        if f"{SCHEMA}." not in str(error) and f'"{SCHEMA}"' not in str(error):
            raise
        return LaterRows(ran=True, reason=f"the migration drops schema {SCHEMA}, in which rows are kept to be compared")


def _examine(
    database: Database, migration: Migration, seeder: Seeder, rows: int, since: Since, *, room: bool
) -> LaterRows:
    control = database.control
    before = read_tables(control, OUR_SCHEMAS)
    kept = Kept(control)
    lane = _Lane(kept, since, before, kept.before(table for table in before.values() if table.key))
    also = seeder.read_schema(control, exclude_schemas=OUR_SCHEMAS) if room else None
    since.mark()
    up = database.run("up before later rows", migration, Direction.UP, watched=False)
    if up.error is not None:
        return LaterRows(ran=True, up=up, reason=f"the up fails in a second database: {up.error.message}")
    lane.migrated = read_tables(control, OUR_SCHEMAS)
    lane.by_up = changed(before, lane.migrated, since.written())
    made = _made(lane, migration)
    gone = _beside_before(lane)
    seeder.fill(control, exclude_schemas=OUR_SCHEMAS, exclude_tables=made)
    _keep_keys(lane)
    kept.mark()
    reports = seeder.write_more(control, exclude_schemas=OUR_SCHEMAS, rows=rows, exclude_tables=made, also=also)
    for name in gone * _PASSES:
        kept.delete_reused(lane.migrated[name])
    later = kept.later({name: lane.migrated[name] for name in _followed(lane)}, lane.copies)
    unkeyed = Unkeyed(kept, before, lane.migrated)
    since.mark()
    down = database.run("down after later rows", migration, Direction.DOWN, watched=False)
    count = sum(report.filled for report in reports)
    if down.error is not None:
        return LaterRows(ran=True, written=count, up=up, down=down)
    now = read_tables(control, OUR_SCHEMAS)
    by_down = changed(lane.migrated, now, since.written())
    lost = [
        *_lost_before(lane, now, by_down, down.started_at),
        *_lost_later(lane, later, now, by_down, down.started_at),
    ]
    notes = [f"{name} cannot be read: {reason}" for name, reason in kept.failed.items()] + unkeyed.doubts(now, by_down)
    return LaterRows(True, count, up, down, tuple(lost), reason="; ".join(notes))


def _made(lane: _Lane, migration: Migration) -> list[str]:
    """Tables that the up makes and fills, or that the migration writes to itself: a backup, reference data, its own
    bookkeeping. No application writes there.
    """
    new = {name: table for name, table in lane.migrated.items() if name not in lane.before}
    own = bookkeeping(lane.kept.connection, migration, map(plain, new))
    queries = {name: f"SELECT ARRAY[count(*)] FROM (SELECT FROM {t.source} LIMIT 1) one" for name, t in new.items()}
    filled = (plain(name) for name, (any_row,) in lane.kept.numbers(queries).items() if any_row)
    return list(dict.fromkeys((*own, *filled)))


def _followed(lane: _Lane) -> list[str]:
    """Tables whose rows can be told by one key before and after the up."""
    return [n for n, copy in lane.copies.items() if n in lane.migrated and copy.table.same_key(lane.migrated[n])]


def _beside_before(lane: _Lane) -> list[str]:
    """See what the up did to rows of before, and note the keys that it took away; returns the tables with such keys.

    Rows with such a key are removed again after later rows are written: no application reuses a key, and a down that
    restores the row of before would collide.
    """
    lane.beside = _compare(lane, (name for name in _followed(lane) if name in lane.by_up))
    gone = [name for name, kin in lane.beside.items() if kin.found < kin.kept]
    for name in gone:
        lane.kept.gone(lane.copies[name], lane.migrated[name])
    return gone


def _keep_keys(lane: _Lane) -> None:
    """Keep the keys of before later rows are written, where they are not those of before the up."""
    # Tables that were empty have rows now.
    lane.beside.update(_compare(lane, [name for name, kin in lane.beside.items() if kin.kept and not kin.rows]))
    followed = set(_followed(lane))
    for name in lane.copies.keys() & lane.migrated.keys():
        rekeyed = name not in followed and bool(lane.migrated[name].key)
        if rekeyed or (name in lane.beside and not lane.beside[name].same_keys):
            lane.kept.keys(lane.migrated[name])


def _compare(lane: _Lane, names: Iterable[str]) -> dict[str, survived.Kin]:
    return survived.compare(lane.kept, {name: lane.copies[name] for name in names}, lane.migrated)


def _lost_before(lane: _Lane, now: Tables, by_down: set[str], since: str) -> list[LostRows]:
    wanted = {}
    suspects = lane.by_up | by_down | reshaped(lane.before, now)
    for name, copy in lane.copies.items():
        old, new = copy.table, now.get(name)
        if new is None or not old.same_key(new) or name not in suspects:
            continue
        columns = tuple(c for c, column in old.columns.items() if _type(new, c) == column.type)
        wanted[name] = survived.Expected(copy, new, columns)
    return survived.lost(lane.kept, "before", wanted, since)


def _lost_later(lane: _Lane, later: Mapping[str, Copy], now: Tables, by_down: set[str], since: str) -> list[LostRows]:
    """A table that the up drops or gives another key has no later rows to keep under the old name."""
    wanted = {}
    for name, copy in later.items():
        new = now.get(name)
        if new is None or not copy.table.same_key(new) or name not in by_down:
            continue
        # Columns that the migration leaves alone: the same type throughout, and no old value changed by the up.
        columns = tuple(
            c
            for c, column in lane.before[name].columns.items()
            if column.type == _type(copy.table, c) == _type(new, c) and not _changed(lane, name, c)
        )
        wanted[name] = survived.Expected(copy, new, columns)
    return survived.lost(lane.kept, "later", wanted, since)


def _changed(lane: _Lane, name: str, column: str) -> bool:
    return name in lane.beside and column in lane.beside[name].changed


def _type(table: Table, column: str) -> str | None:
    found = table.columns.get(column)
    return found.type if found is not None else None
