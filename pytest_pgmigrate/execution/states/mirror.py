"""Follows the rows of the mirrored catalogs by place and inserting transaction, and names the units that changed.

A row version is never changed in place (but for statistics): an update writes another version elsewhere, with the
updating transaction's ``xmin`` (https://www.postgresql.org/docs/current/ddl-system-columns.html). So the places that
are alive in a written block, and the rows there that a recent transaction wrote, tell all that happened to the block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.states.catalogs import BUILTIN, MIRRORED, PG_CLASS, Mirrored, Reference, Unit, unit_of
from pytest_pgmigrate.execution.states.line import array
from pytest_pgmigrate.execution.states.wal import lsn_number

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.line import Answer, Line

Blocks = frozenset[int]
Wanted = Mapping[str, Blocks | None]
"""Blocks to look at by catalog; None for all of them."""


Row = tuple[Unit, int, str]
"""Unit, own OID, and what is shown of the row (``Mirrored.shown``)."""

Block = dict[str, Row]
"""Rows by place."""


class LostTrack(Exception):
    """The rows found do not follow from those known; everything must be read again."""


class Mirror:
    """What is known of the rows: per catalog and block their places, each with its unit and own OID."""

    def __init__(self, class_oids: Mapping[str, int]) -> None:
        self._class_oids = class_oids
        self._rows: dict[str, dict[int, Block]] = {}
        self.owners: dict[Reference, Unit] = {}
        self.block_of: dict[int, int] = {}
        """Of relations and sequences, the block of pg_class with their row."""
        self.fresh: set[int] = set()
        """Relations and sequences with a row of pg_class that was new at the last update."""
        self.born: set[Reference] = set()
        """What the last update found for the first time."""

    def units(self) -> set[Unit]:
        """Every unit that some row belongs to."""
        blocks = [block for catalog in self._rows.values() for block in catalog.values()]
        return self._resolve({row[0] for block in blocks for row in block.values()})

    def fill(self, line: Line) -> None:
        """Read all rows."""
        everything: dict[str, frozenset[int] | None] = {catalog.name: None for catalog in MIRRORED}
        self._rows = {catalog.name: {} for catalog in MIRRORED}
        self.owners, self.block_of = {}, {}
        for found in Asked(line, everything, None, "rows").found():
            self._learn(found, {})
        self.born = set()

    def update(self, line: Line, wanted: Wanted, xmin: str, ahead: Asked | None = None) -> set[Unit]:
        """Look at the blocks again; returns the units with a changed row. ``xmin`` as known at the last look.

        ``ahead``: blocks that were looked at already. Raises LostTrack.
        """
        dirty: set[Unit] = set()
        self.born, self.fresh = set(), set()
        known: dict[Reference, Row | None] = {}
        arrived: list[Found] = []
        for found in self._found(line, wanted, xmin, ahead):
            before = self._rows[found.catalog].get(found.block, {}).keys()
            gone = before - found.alive
            written = {row.split(" ", 1)[0] for row in found.fresh}
            if not found.alive - before <= written:
                raise LostTrack(found.catalog)
            # Known already and still recent: read again, which costs little.
            gone |= written & before
            dirty |= self._forget(found, gone, known)
            arrived.append(found)
        # Comments on what was just dropped cannot be resolved any more, and need not be.
        for found in arrived:
            dirty |= self._learn(found, known)
        self.born -= known.keys()
        dirty |= {row[0] for row in known.values() if row is not None and row[2]}
        return self._resolve(dirty)

    def blocks_of(self, relations: Iterable[int]) -> Blocks:
        """The blocks of pg_class with their rows."""
        return frozenset(self.block_of[oid] for oid in relations if oid in self.block_of)

    def ask_places(self, line: Line, wanted: Wanted) -> Asked:
        """Ask another server for the places in these blocks; ``matches`` takes the answer in."""
        return Asked(line, wanted, None, "places")

    def matches(self, asked: Asked) -> bool:
        """Whether the other server has the very same rows in the blocks asked for (a physical replica must)."""
        for found in self._all(asked):
            rows = self._rows[found.catalog].get(found.block, {})
            known = rows.keys()
            # Of built-in objects only those rows are known that changed since initdb, and none is asked for here.
            if not found.alive <= known or any(rows[place][0] != BUILTIN for place in known - found.alive):
                return False
        return True

    def _found(self, line: Line, wanted: Wanted, xmin: str, ahead: Asked | None) -> list[Found]:
        if ahead is None:
            return self._all(Asked(line, wanted, xmin, "rows"))
        missing = ahead.missing(wanted)
        more = Asked(line, missing, xmin, "rows") if missing else None
        line.send()
        found = [one for one in ahead.found() if one.block in (wanted.get(one.catalog) or ())]
        return found + self._all(more) if more is not None else found

    def _all(self, asked: Asked) -> list[Found]:
        """What was found, and of catalogs asked for as a whole the known blocks in which nothing is alive any more."""
        found = asked.found()
        for name in asked.whole:
            seen = {one.block for one in found if one.catalog == name}
            found += [Found(name, block) for block in self._rows[name] if block not in seen]
        return found

    def _forget(self, found: Found, places: Iterable[str], known: dict[Reference, Row | None]) -> set[Unit]:
        if not places:
            return set()
        rows, oid = self._rows[found.catalog][found.block], self._class_oids[found.catalog]
        dirty = set()
        for place in places:
            row = rows.pop(place)
            unit, own, shown = row
            if own:
                known[oid, own] = row
                self.owners.pop((oid, own), None)
            if not shown:
                dirty.add(self._resolve_one(unit))
        return dirty

    def _learn(self, found: Found, known: dict[Reference, Row | None]) -> set[Unit]:
        if not found.fresh:
            return set()
        rows, oid = self._rows[found.catalog].setdefault(found.block, {}), self._class_oids[found.catalog]
        dirty = set()
        for text in found.fresh:
            place, number, shown, name = text.split(" ", 3)
            unit, own = unit_of(name), int(number)
            row = rows[place] = (unit, own, shown)
            if own:
                self.owners[oid, own] = unit
                self.born.add((oid, own))
                if oid == PG_CLASS:
                    self.block_of[own] = found.block
                    self.fresh.add(own)
            if shown and known.get((oid, own)) == row:
                # Another version of a row that shows the same.
                known[oid, own] = None
            else:
                dirty.add(unit)
        return dirty

    def _resolve(self, units: set[Unit]) -> set[Unit]:
        return {self._resolve_one(unit) for unit in units}

    def _resolve_one(self, unit: Unit) -> Unit:
        kind, oid = unit
        if kind == "column":
            # Columns of an index hold nothing but statistics targets, which are shown with the index.
            owner = self.owners.get((self._class_oids["pg_class"], oid))
            return owner if owner is not None and owner[0] == "index" else unit
        if kind.startswith("of "):
            return self.owners.get((int(kind[3:]), oid), unit)
        return unit


@dataclass(slots=True)
class Found:
    """One block of a catalog: places alive, and rows recently written as ``place own shown unit``."""

    catalog: str
    block: int
    alive: set[str] = field(default_factory=set)
    fresh: list[str] = field(default_factory=list)


class Asked:
    """One statement for the wanted blocks of all catalogs.

    ``what``: their ``rows``, only the ``places``, or the rows ``ahead``. Then the server also keeps the OIDs of the relations
    and sequences that a recent transaction wrote, and of ``relations``, for the statements that follow.
    """

    def __init__(self, line: Line, wanted: Wanted, xmin: str | None, what: str, relations: Iterable[int] = ()) -> None:
        self.whole = tuple(name for name in _ORDER if name in wanted and wanted[name] is None)
        self._some = {name: blocks for name in _ORDER if (blocks := wanted.get(name)) is not None}
        self._answer: Answer | None = None
        self._found: list[Found] | None = None
        self.end = -1
        """Of what was asked ahead: up to where in the WAL everything shows in the rows; -1 if that cannot be told."""
        self.relations: frozenset[int] = frozenset()
        self.sequences: frozenset[int] = frozenset()
        if self.whole or self._some or what == "ahead":
            parameters = [array(sorted(numbers)) for numbers in self._some.values()]
            if what == "ahead":
                parameters.insert(0, "".join(f",{oid}" for oid in relations))
            self._answer = line.ask(_text(what, self.whole, tuple(self._some)), xmin, *parameters)
            if what == "ahead":
                line.at_once(self._answer)

    def found(self) -> list[Found]:
        """The answer, block by block. Raises psycopg.Error."""
        if self._found is None:
            self._found = self._take()
        return self._found

    def _take(self) -> list[Found]:
        found: list[Found] = []
        for name, block, alive, fresh in self._answer.rows() if self._answer is not None else ():
            if not name:
                self._ahead(block, alive, fresh)
                continue
            places = alive.split(" ") if alive else []
            rows = fresh.split(";") if fresh else []
            if block is None:
                found += _by_place(name, places, rows)
            else:
                found.append(Found(name, block, set(places), rows))
        return found

    def missing(self, wanted: Wanted) -> Wanted:
        """What of it was not asked for."""
        missing: dict[str, Blocks | None] = {}
        for name, blocks in wanted.items():
            left = None if blocks is None else blocks - self._some.get(name, frozenset())
            if left is None or left:
                missing[name] = left
        return missing

    def _ahead(self, kind: int | None, first: str | None, second: str | None) -> None:
        if kind == 0:
            self.end = lsn_number(first or "0/0") if second == "true" else -1
        else:
            self.relations, self.sequences = _oids(first), _oids(second)


def _oids(text: str | None) -> frozenset[int]:
    return frozenset(map(int, text[1:].split(","))) if text else frozenset()


def _by_place(name: str, places: Iterable[str], rows: Iterable[str]) -> Iterable[Found]:
    """What was read of a whole catalog, block by block."""
    blocks: dict[int, Found] = {}
    for place in places:
        number = _block(place)
        blocks.setdefault(number, Found(name, number)).alive.add(place)
    for row in rows:
        number = _block(row)
        blocks.setdefault(number, Found(name, number)).fresh.append(row)
    return blocks.values()


# A row's place with its inserting transaction: what stands there later is another row.
_PLACE = "concat(c.ctid, c.xmin)"
# One aggregate per block: its condition on ctid is a TID range scan.
_IN_BLOCK = "c.ctid >= concat('(', b, ',0)')::tid and c.ctid < concat('(', b + 1, ',0)')::tid"


def _rows(catalog: Mirrored, place: str = "true", more: str = "") -> str:
    # age() of both, because transaction IDs wrap around; without xmin every row counts as recent.
    row = f"concat_ws(' ', {_PLACE}, {catalog.own}, {catalog.shown}, {catalog.unit})"
    recent = "age(c.xmin) <= coalesce(age($1::xid), 2147483647)"
    return f"""
        select string_agg({_PLACE}, ' ') as alive,
               string_agg({row}, ';') filter (where {recent}) as fresh{more}
        from {catalog.name} c
        where {place} and ({catalog.key} >= 16384 or age(c.xmin) <= age($1::xid)) and {catalog.where}
    """


def _places(catalog: Mirrored, place: str = "true") -> str:
    return f"""
        select string_agg({_PLACE}, ' ') as alive, $1::text as fresh from {catalog.name} c
        where {place} and {catalog.key} >= 16384 and {catalog.where}
    """


def _whole(query: Callable[[Mirrored], str]) -> dict[str, bytes]:
    return {c.name: f"select '{c.name}', null::int8, x.* from ({query(c)}) x".encode() for c in MIRRORED}


def _by_block(query: Callable[[Mirrored, str], str]) -> dict[str, bytes]:
    return {c.name: _one_by_block(c, query(c, _IN_BLOCK)) for c in MIRRORED}


def _one_by_block(catalog: Mirrored, query: str) -> bytes:
    source = "unnest($blocks::int8[]) b, lateral"
    return f"select '{catalog.name}', b, x.alive, x.fresh from {source} ({query}) x".encode()


_ORDER = tuple(catalog.name for catalog in MIRRORED)
_WHOLE = {"rows": _whole(_rows), "places": _whole(_places)}
_BY_BLOCK = {"rows": _by_block(_rows), "ahead": _by_block(_rows), "places": _by_block(_places)}
# All that was written up to this position belongs to transactions that were over when the statement's snapshot was taken:
# none was running then, and none has begun since, when age() looks, after the position.
_END = b"""
    select '', 0::int8, pg_current_wal_insert_lsn()::text, (age(pg_snapshot_xmin(pg_current_snapshot())::xid) = 0)::text
    where set_config('pgmigrate.relations', $2::text, false) is not null and set_config('pgmigrate.sequences', '', false) = ''
        and $1::text <> ''
"""
# Kept in settings of the reader's session, because the statements that follow are to take them from there.
_KEPT = {"relations": "c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')", "sequences": "c.relkind = 'S'"}
_KEEP = "".join(
    f""", set_config('pgmigrate.{name}', concat(current_setting('pgmigrate.{name}'),
        ',' || string_agg(c.oid::text, ',') filter (where {kind} and age(c.xmin) <= age($1::xid))), false)"""
    for name, kind in _KEPT.items()
)
_NEW = b"select '', 1::int8, current_setting('pgmigrate.relations'), current_setting('pgmigrate.sequences')"
_BY_BLOCK["ahead"]["pg_class"] = _one_by_block(MIRRORED[0], _rows(MIRRORED[0], _IN_BLOCK, _KEEP))


def kept(name: str) -> str:
    """SQL for the ``relations`` or ``sequences`` that were asked for ahead, as the text of an array."""
    return f"('{{' || substr(current_setting('pgmigrate.{name}'), 2) || '}}')"


@lru_cache(maxsize=256)
def _text(what: str, whole: tuple[str, ...], some: tuple[str, ...]) -> bytes:
    """The statement; the same few sets of catalogs recur."""
    branches = [_END] if what == "ahead" else [_WHOLE[what][name] for name in whole]
    for number, name in enumerate(some, start=3 if what == "ahead" else 2):
        branches.append(_BY_BLOCK[what][name].replace(b"$blocks", b"$%d" % number))
    if what == "ahead":
        branches.append(_NEW)
    return b" union all ".join(branches)


def _block(place: str) -> int:
    return int(place[1 : place.index(",")])
