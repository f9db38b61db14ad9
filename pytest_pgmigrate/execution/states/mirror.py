"""Follows the rows of the mirrored catalogs by place and inserting transaction, and names the units that changed.

A row version is never changed in place (but for statistics): an update writes another version elsewhere, with the
updating transaction's ``xmin`` (https://www.postgresql.org/docs/current/ddl-system-columns.html). So the places that
are alive in a written block, and the rows there that a recent transaction wrote, tell all that happened to the block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.states.catalogs import BUILTIN, MIRRORED, Mirrored, Reference, Unit, unit_of

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.line import Line

Wanted = Mapping[str, frozenset[int] | None]
"""Blocks to look at by catalog; None for all of them."""


class LostTrack(Exception):
    """The rows found do not follow from those known; everything must be read again."""


class Mirror:
    """What is known of the rows: per catalog their places, each with its unit and own OID."""

    def __init__(self, class_oids: Mapping[str, int]) -> None:
        self._class_oids = class_oids
        self._rows: dict[str, dict[str, tuple[Unit, int]]] = {}
        self._blocks: dict[str, dict[str, set[str]]] = {}
        self.owners: dict[Reference, Unit] = {}
        self.born: set[Reference] = set()
        """What the last update found for the first time."""

    def units(self) -> set[Unit]:
        """Every unit that some row belongs to."""
        found = {unit for rows in self._rows.values() for unit, _ in rows.values()}
        return self._resolve(found)

    def fill(self, line: Line) -> None:
        """Read all rows."""
        everything: dict[str, frozenset[int] | None] = {catalog.name: None for catalog in MIRRORED}
        self._rows = {catalog.name: {} for catalog in MIRRORED}
        self._blocks = {catalog.name: {} for catalog in MIRRORED}
        self.owners = {}
        for name, _, fresh in read_rows(line, everything, None):
            self._learn(name, fresh)
        self.born = set()

    def update(self, line: Line, wanted: Wanted, xmin: str) -> set[Unit]:
        """Look at the blocks again; returns the units with a changed row. ``xmin`` as known at the last look.

        Raises LostTrack.
        """
        dirty: set[Unit] = set()
        self.born, known = set(), set[Reference]()
        arrived: list[tuple[str, list[str]]] = []
        for name, alive, fresh in read_rows(line, wanted, xmin):
            before = self._known(name, wanted[name])
            gone = before - alive
            written = {row.split(" ", 1)[0] for row in fresh}
            if not alive - before <= written:
                raise LostTrack(name)
            # Known already and still recent: read again, which costs little.
            gone.update(written & before)
            dirty |= self._forget(name, gone, known)
            arrived.append((name, fresh))
        # Comments on what was just dropped cannot be resolved any more, and need not be.
        for name, fresh in arrived:
            dirty |= self._learn(name, fresh)
        self.born -= known
        return self._resolve(dirty)

    def matches(self, line: Line, wanted: Wanted) -> bool:
        """Whether another server has the very same rows in these blocks (a physical replica must)."""
        for name, alive, _ in _read(line, wanted, None, _PLACES, _PLACES_OF_BLOCKS):
            known, rows = self._known(name, wanted[name]), self._rows[name]
            # Of built-in objects only those rows are known that changed since initdb, and none is asked for here.
            if not alive <= known or any(rows[place][0] != BUILTIN for place in known - alive):
                return False
        return True

    def _known(self, name: str, blocks: frozenset[int] | None) -> set[str]:
        if blocks is None:
            return set(self._rows[name])
        places = self._blocks[name]
        return set[str]().union(*[places.get(str(block), ()) for block in blocks])

    def _forget(self, name: str, places: Iterable[str], known: set[Reference]) -> set[Unit]:
        rows, blocks, oid = self._rows[name], self._blocks[name], self._class_oids[name]
        dirty = set()
        for place in places:
            unit, own = rows.pop(place)
            blocks[_block(place)].discard(place)
            dirty.add(self._resolve_one(unit))
            if own:
                known.add((oid, own))
                self.owners.pop((oid, own), None)
        return dirty

    def _learn(self, name: str, fresh: Iterable[str]) -> set[Unit]:
        rows, blocks, oid = self._rows[name], self._blocks[name], self._class_oids[name]
        dirty = set()
        for row in fresh:
            place, unit, own = _parse(row)
            rows[place] = (unit, own)
            blocks.setdefault(_block(place), set()).add(place)
            dirty.add(unit)
            if own:
                self.owners[oid, own] = unit
                self.born.add((oid, own))
        return dirty

    def _resolve(self, units: set[Unit]) -> set[Unit]:
        return {self._resolve_one(unit) for unit in units}

    def _resolve_one(self, unit: Unit) -> Unit:
        kind, oid = unit
        if kind.startswith("of "):
            return self.owners.get((int(kind[3:]), oid), unit)
        if kind == "column":
            # Columns of an index hold nothing but statistics targets, which are shown with the index.
            owner = self.owners.get((self._class_oids["pg_class"], oid))
            return owner if owner is not None and owner[0] == "index" else unit
        return unit


def read_rows(line: Line, wanted: Wanted, xmin: str | None) -> list[tuple[str, set[str], list[str]]]:
    """Places alive and rows recently written of each wanted catalog: ``(catalog, places, rows)``."""
    return _read(line, wanted, xmin, _ROWS, _ROWS_OF_BLOCKS)


def _read(
    line: Line, wanted: Wanted, xmin: str | None, whole: Mapping[str, bytes], some: Mapping[str, bytes]
) -> list[tuple[str, set[str], list[str]]]:
    branches: list[bytes] = []
    parameters: list[str | None] = [xmin]
    for name in whole:
        if name not in wanted:
            continue
        blocks = wanted[name]
        if blocks is None:
            branches.append(whole[name])
        else:
            parameters.append(f"{{{','.join(map(str, blocks))}}}")
            branches.append(some[name].replace(b"$blocks", b"$%d" % len(parameters)))
    if not branches:
        return []
    # One statement for all: the same few sets of catalogs recur.
    rows = line.ask(b" union all ".join(branches), *parameters).rows()
    found: dict[str, tuple[set[str], list[str]]] = {name: (set(), []) for name in wanted}
    for name, alive, fresh in rows:
        if alive:
            found[name][0].update(alive.split(" "))
        if fresh:
            found[name][1].extend(fresh.split(";"))
    return [(name, *found[name]) for name in whole if name in wanted]


# A row's place with its inserting transaction: what stands there later is another row.
_PLACE = "concat(c.ctid, c.xmin)"
# One aggregate per block: its condition on ctid is a TID range scan.
_IN_BLOCK = "c.ctid >= concat('(', b, ',0)')::tid and c.ctid < concat('(', b + 1, ',0)')::tid"


def _rows(catalog: Mirrored, place: str = "true") -> str:
    # age() of both, because transaction IDs wrap around; without xmin every row counts as recent.
    recent = "age(c.xmin) <= coalesce(age($1::xid), 2147483647)"
    return f"""
        select string_agg({_PLACE}, ' ') as alive,
               string_agg(concat_ws(' ', {_PLACE}, {catalog.own}, {catalog.unit}), ';') filter (where {recent}) as fresh
        from {catalog.name} c
        where {place} and ({catalog.key} >= 16384 or age(c.xmin) <= age($1::xid)) and {catalog.where}
    """


def _places(catalog: Mirrored, place: str = "true") -> str:
    return f"""
        select string_agg({_PLACE}, ' ') as alive, $1::text as fresh from {catalog.name} c
        where {place} and {catalog.key} >= 16384 and {catalog.where}
    """


def _whole(query: Callable[[Mirrored], str]) -> dict[str, bytes]:
    return {c.name: f"select '{c.name}', x.* from ({query(c)}) x".encode() for c in MIRRORED}


def _by_block(query: Callable[[Mirrored, str], str]) -> dict[str, bytes]:
    source = "unnest($blocks::int8[]) b, lateral"
    return {c.name: f"select '{c.name}', x.* from {source} ({query(c, _IN_BLOCK)}) x".encode() for c in MIRRORED}


_ROWS, _ROWS_OF_BLOCKS = _whole(_rows), _by_block(_rows)
_PLACES, _PLACES_OF_BLOCKS = _whole(_places), _by_block(_places)


def _parse(row: str) -> tuple[str, Unit, int]:
    place, own, unit = row.split(" ", 2)
    return place, unit_of(unit), int(own)


def _block(place: str) -> str:
    return place[1 : place.index(",")]
