"""Shows which rows of a table differ between two databases of one server: at most a few, by primary key."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.execution.states.digests import chain, quote
from pytest_pgmigrate.execution.states.settings import PINNED
from pytest_pgmigrate.model.state import RowChange, TableChange

if TYPE_CHECKING:
    from pytest_pgmigrate.model.state import State, TableDigest

_SHAPE = """
    select a.attname::text, pg_get_expr(d.adbin, d.adrelid),
        coalesce((select k.ordinality from pg_index i, unnest(i.indkey::int2[]) with ordinality k
            where i.indrelid = a.attrelid and i.indisprimary and k.k = a.attnum
              and k.ordinality <= i.indnkeyatts), 0)::int4
    from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum and a.attgenerated = ''
    where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
    order by a.attnum
"""
_CONSTANT = re.compile(r"\s*\(*('(?:[^']|'')*'|-?[\d.]+|true|false|null)\)*(::[\w .\"\[\]()]+)?\)*\s*", re.IGNORECASE)
_BUCKETS = 4096
_ROWS_PER_BUCKET = 16
_FETCH_AT_ONCE = 4_000
_FETCH_AT_MOST = 20_000
"""Rows brought here, of either side: what more differs is counted, not looked at."""

KEEP_AT_MOST = 1_000

Row = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _Shape:
    columns: tuple[str, ...]
    key: tuple[str, ...]
    defaults: Mapping[str, str]


def locate(
    old: psycopg.Connection[Any],
    new: psycopg.Connection[Any],
    change: TableChange | str,
    old_state: State | None = None,
    new_state: State | None = None,
    limit: int = 5,
    ignored: Callable[[str], bool] = lambda column: False,
) -> TableChange:
    """The rows of a table that differ; ``old`` is connected to a pristine clone, ``change`` is what ``compare`` gave.

    Columns that both have are compared, by primary key when both have the same one, else row against row.
    ``ignored`` columns are counted, but no row is shown, or counted as changed, for their sake. When no row differs
    (``compare`` suspects rows whose key is another one), counts are equal and nothing else is filled in.
    Raises psycopg.Error when the table cannot be read.
    """
    table = change if isinstance(change, str) else change.table
    same = old_state and new_state and old_state.tables.get(table) == new_state.tables.get(table)
    with old.transaction(), new.transaction():
        _pin(old)
        _pin(new)
        before, after = _shape(old, table), _shape(new, table)
        columns = tuple(column for column in before.columns if column in after.columns)
        key = before.key if before.key == after.key else ()
        hidden: tuple[str, ...] = ()
        if not key:
            # A row is told by all it holds: of what is ignored there is nothing to count.
            columns = tuple(column for column in columns if not ignored(column))
            hidden = tuple(filter(ignored, change.columns)) if isinstance(change, TableChange) else ()
        if same or not columns:
            return change if isinstance(change, TableChange) else TableChange(table, 0, 0)
        counts = _count(old, table), _count(new, table)
        found, all_looked_at = _differing(old, new, table, columns, key, max(counts))
        if not found and counts[0] == counts[1]:
            return TableChange(table, *counts, hidden)
        lost = _lost(old, new, table, columns, after) if counts[1] else ()
    told = _told(table, counts, columns, key, found, lost, limit, ignored, all_looked_at)
    return replace(told, columns=told.columns + hidden)


@dataclass(frozen=True, slots=True)
class Kept:
    """All rows of a small table as text, to be compared with those of a later moment."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    rows: tuple[Row, ...]


def keep(connection: psycopg.Connection[Any], table: str, most: int = KEEP_AT_MOST) -> Kept | None:
    """The rows of a table, None when there are more than ``most``. Raises psycopg.Error when it cannot be read."""
    with connection.transaction():
        _pin(connection)
        shape = _shape(connection, table)
        cells = ", ".join(f"t.{quote(column)}::text" for column in shape.columns)
        rows = connection.execute(f"select {cells} from only {table} t limit {most + 1}".encode()).fetchall()
    return Kept(shape.columns, shape.key, tuple(rows)) if len(rows) <= most and shape.columns else None


def locate_kept(
    kept: Kept,
    connection: psycopg.Connection[Any],
    change: TableChange,
    ignored: Callable[[str], bool] = lambda column: False,
    limit: int = 5,
) -> TableChange:
    """``locate`` with the old rows at hand; the change as it is where the new ones are too many or of another shape."""
    now = keep(connection, change.table)
    if now is None or now.columns != kept.columns:
        return change
    key = kept.key if kept.key == now.key else ()
    taken = [n for n, column in enumerate(now.columns) if key or not ignored(column)]
    columns = tuple(now.columns[n] for n in taken)
    sides = [[tuple(row[n] for n in taken) for row in side.rows] for side in (kept, now)]
    numbered = [[(*row, 1) for row in side] for side in sides]
    found = _by_key(sides, columns, key) if key else _by_number(numbered, columns)
    return _told(change.table, (len(kept.rows), len(now.rows)), columns, key, found, (), limit, ignored, True)


def _told(
    table: str,
    counts: tuple[int, int],
    columns: Sequence[str],
    key: tuple[str, ...],
    found: Sequence[RowChange],
    lost: tuple[str, ...],
    limit: int,
    ignored: Callable[[str], bool],
    all_looked_at: bool,
) -> TableChange:
    """Differing rows as a change: some to show, all of them counted."""
    by_column = Counter(column for row in found for column in row.values)
    shown = tuple(column for column in columns if column in by_column)
    telling = [row for row in found if row.change != "changed" or not all(map(ignored, row.values))]
    return TableChange(
        table,
        *counts,
        shown,
        tuple(telling[:limit]),
        lost,
        key,
        {column: by_column[column] for column in shown},
        Counter(row.change for row in telling),
        all_looked_at,
    )


def locate_without_before(table: str, old_digest: TableDigest, new_digest: TableDigest) -> TableChange:
    """What digests alone tell, where no clone holds the old rows: counts, and columns when no row came or went."""
    common = [column for column in old_digest.columns if column in new_digest.columns]
    columns: tuple[str, ...] = ()
    if old_digest.keyed and new_digest.keyed and old_digest.rows == new_digest.rows:
        columns = tuple(c for c in common if old_digest.columns[c] != new_digest.columns[c])
    return TableChange(table, old_digest.count, new_digest.count, columns)


def _pin(connection: psycopg.Connection[Any]) -> None:
    names, values = list(PINNED), list(PINNED.values())
    connection.execute("select set_config(n, v, true) from unnest(%s::text[], %s::text[]) s(n, v)", (names, values))


def _shape(connection: psycopg.Connection[Any], table: str) -> _Shape:
    rows = connection.execute(_SHAPE, (table,)).fetchall()
    keyed = sorted((position, name) for name, _, position in rows if position)
    defaults = {name: default for name, default, _ in rows if default and _CONSTANT.fullmatch(default)}
    return _Shape(tuple(row[0] for row in rows), tuple(name for _, name in keyed), defaults)


def _count(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(f"select count(*) from only {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def _differing(
    old: psycopg.Connection[Any],
    new: psycopg.Connection[Any],
    table: str,
    columns: Sequence[str],
    key: Sequence[str],
    count: int,
) -> tuple[list[RowChange], bool]:
    """Rows that differ, from the buckets (by hash of the key) whose sums differ, and whether these are all."""
    buckets = min(_BUCKETS, max(1, count // _ROWS_PER_BUCKET))
    bucket = f"({chain(key or sorted(columns))} & 4095) % {buckets}"
    query = f"select {bucket}, count(*), sum({chain(sorted(columns))}) from only {table} t group by 1".encode()
    mine, theirs = ({row[0]: row[1:] for row in c.execute(query).fetchall()} for c in (old, new))
    differing = sorted(b for b in {*mine, *theirs} if mine.get(b) != theirs.get(b))
    cells = ", ".join(f"t.{quote(column)}::text" for column in columns)
    # Without a key equal rows come as one with their number: a table of one row repeated is one bucket.
    times, group = ("", "") if key else (", count(*)", f" group by {', '.join(map(str, range(1, len(columns) + 1)))}")
    at_once = max(1, _FETCH_AT_ONCE * buckets // max(count, 1))
    found: list[RowChange] = []
    fetched = 0
    for start in range(0, len(differing), at_once):
        chosen = ",".join(map(str, differing[start : start + at_once]))
        select = f"select {cells}{times} from only {table} t where {bucket} = any ('{{{chosen}}}'){group}"
        sides = [connection.execute(select.encode()).fetchall() for connection in (old, new)]
        found += _by_key(sides, columns, key) if key else _by_number(sides, columns)
        fetched += len(sides[0]) + len(sides[1])
        if fetched > _FETCH_AT_MOST:
            return found, start + at_once >= len(differing)
    return found, True


def _by_key(sides: Sequence[Sequence[Row]], columns: Sequence[str], key: Sequence[str]) -> list[RowChange]:
    places = [columns.index(name) for name in key]
    old, new = ({tuple(row[p] for p in places): row for row in side} for side in sides)
    changes = []
    for identity in sorted({*old, *new}, key=_order):
        before, after = old.get(identity), new.get(identity)
        if before == after:
            continue
        names = dict(zip(key, identity, strict=True))
        if before is None or after is None:
            changes.append(RowChange(names, "extra" if before is None else "missing"))
            continue
        pairs = zip(columns, before, after, strict=True)
        changes.append(RowChange(names, "changed", {name: (was, now) for name, was, now in pairs if was != now}))
    return changes


def _by_number(sides: Sequence[Sequence[tuple[Any, ...]]], columns: Sequence[str]) -> list[RowChange]:
    """Whole rows, each with how often it comes as the last of its values."""
    counts: dict[Row, int] = {}
    for side, step in zip(sides, (-1, 1), strict=True):
        for *cells, times in side:
            row = tuple(cells)
            counts[row] = counts.get(row, 0) + step * times
    changes = []
    for row in sorted((row for row, count in counts.items() if count), key=_order):
        kind = "extra" if counts[row] > 0 else "missing"
        changes += [RowChange(dict(zip(columns, row, strict=True)), kind)] * min(abs(counts[row]), _FETCH_AT_ONCE)
    return changes


def _order(row: Row) -> tuple[tuple[bool, int, str], ...]:
    """Numbers as numbers, NULL first."""
    return tuple((cell is not None, len(cell or "") if (cell or "").isdigit() else 0, cell or "") for cell in row)


def _lost(
    old: psycopg.Connection[Any],
    new: psycopg.Connection[Any],
    table: str,
    columns: Sequence[str],
    after: _Shape,
) -> tuple[str, ...]:
    """Columns that held values and hold nothing but NULL or their default now."""
    if not columns:
        return ()

    def values(connection: psycopg.Connection[Any], defaults: Mapping[str, str]) -> tuple[Any, ...]:
        counts = []
        for column in columns:
            name = f"t.{quote(column)}"
            beside = f" and {name}::text is distinct from ({defaults[column]})::text" if column in defaults else ""
            counts.append(f"count(*) filter (where {name} is not null{beside})")
        row = connection.execute(f"select {', '.join(counts)} from only {table} t".encode()).fetchone()
        assert row is not None
        return tuple(row)

    had = values(old, after.defaults)
    has = values(new, after.defaults)
    return tuple(c for c, was, now in zip(columns, had, has, strict=True) if was and not now)
