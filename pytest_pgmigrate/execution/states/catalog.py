"""The catalog of one database as objects with attributes, kept up to date by reading only what changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pytest_pgmigrate.execution.states.catalogs import (
    EVERYTHING,
    MIRRORED,
    PG_CLASS,
    PG_CONSTRAINT,
    PG_POLICY,
    PG_PROC,
    PG_REWRITE,
    PG_TYPE,
    RELATION_PARTS,
    Reference,
    Unit,
)
from pytest_pgmigrate.execution.states.fetch import GROUP_UNITS, Fetched, Fetcher
from pytest_pgmigrate.execution.states.groups import GROUPS
from pytest_pgmigrate.execution.states.line import array
from pytest_pgmigrate.execution.states.mirror import LostTrack, Mirror
from pytest_pgmigrate.execution.states.model import Columns, Relation, Sequence
from pytest_pgmigrate.model.state import Attributes, ObjectKey

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.ahead import Ahead
    from pytest_pgmigrate.execution.states.line import Line

_CLASSES = b"select relname::text, oid::int8 from pg_class where relnamespace = 11 and relkind = 'r'"
_DEPENDENTS = b"""
    select distinct d.classid::int8, d.objid::int8
    from unnest($1::oid[], $2::oid[]) r(class, object)
    join pg_depend d on d.refclassid = r.class and d.refobjid = r.object
    where d.deptype <> 'e'
"""
_CLASS_OF_KIND = {"relation": PG_CLASS, "sequence": PG_CLASS, "function": PG_PROC, "type": PG_TYPE}
_PARTS = frozenset(RELATION_PARTS)
_OF_PG_CLASS = frozenset(("relation", "sequence", *RELATION_PARTS))
_GROUPED: dict[str, Unit] = {name: (f"group {group.name}", 0) for group in GROUPS for name in group.catalogs}
_QUERY_HOLDERS = frozenset((PG_REWRITE, PG_PROC, PG_POLICY))


_Known = TypeVar("_Known")


class Wrote(NamedTuple):
    """Catalogs that may have changed: blocks of the mirrored ones (None: any), names of the grouped ones."""

    mirrored: Mapping[str, frozenset[int] | None]
    grouped: Collection[str]

    @classmethod
    def anything(cls) -> Wrote:
        """Nothing is known."""
        return cls({catalog.name: None for catalog in MIRRORED}, [name for g in GROUPS for name in g.catalogs])


class Catalog:
    """Objects, relations and sequences of one database."""

    def __init__(self, line: Line, exclude_schemas: Collection[str], exclude_tables: Collection[str]) -> None:
        self._line = line
        self.class_oids: dict[str, int] = dict(line.ask(_CLASSES).rows())
        self.fetcher = Fetcher(line, exclude_schemas, exclude_tables)
        self.mirror = Mirror(self.class_oids)
        self._group_of_class = {
            self.class_oids[name]: (f"group {group.name}", 0)
            for group in GROUPS
            for name in group.catalogs
            if name in self.class_oids
        }
        self._units: dict[Unit, Fetched] = {}
        self._objects: dict[ObjectKey, Attributes] = {}
        self._queries: set[Unit] = set()
        """Units that may hold the text of a query: views, rules, policies, functions."""
        self.relations: dict[int, Relation] = {}
        self.columns: dict[int, Columns] = {}
        self.keys: dict[int, tuple[str, ...]] = {}
        self.sequences: dict[int, Sequence] = {}
        self.reread: set[int] = set()
        """Tables whose stored rows may read differently though nothing of theirs changed; the reader clears it."""
        self.named: dict[str, set[int]] = {}
        """Relations by their bare names."""
        self.kinds: set[str] = set()
        """Kinds of units that the last update fetched at once."""
        self.beside = False
        """Among them parts of relations whose own row was not written."""
        self.refreshed: set[int] = set()
        """Relations of which something was read again; the reader clears it."""

    @property
    def objects(self) -> dict[ObjectKey, Attributes]:
        """All objects; never changed in place."""
        return self._objects

    def read(self) -> None:
        """Read everything."""
        self.mirror.fill(self._line)
        self._units, self._objects, self._queries = {}, {}, set()
        self.relations, self.columns, self.keys, self.sequences, self.named = {}, {}, {}, {}, {}
        units = {unit for unit in self.mirror.units() if not unit[0].startswith(("of ", "every"))}
        self._take(units | GROUP_UNITS, self.fetcher.fetch(units | GROUP_UNITS, {}))
        self.refreshed |= self.relations.keys()

    def update(self, wrote: Wrote, xmin: str, ahead: Ahead | None = None, *, everything: bool = False) -> None:
        """Read what changed since ``xmin`` was the oldest running transaction; ``ahead``: what was asked already."""
        if everything or not self._units:
            self.read()
            return
        try:
            dirty = self.mirror.update(self._line, wrote.mirrored, xmin, ahead.rows if ahead is not None else None)
        except LostTrack:
            self.read()
            return
        dirty = {self._group_of_class.get(int(u[0][3:]), u) if u[0].startswith("of ") else u for u in dirty}
        dirty |= self.group_units(wrote.grouped)
        if EVERYTHING in dirty:
            self.read()
            return
        dirty = {unit for unit in dirty if not unit[0].startswith("of ")}
        self._refresh(dirty, ahead)

    def group_units(self, grouped: Collection[str]) -> set[Unit]:
        """The groups that these catalogs belong to."""
        return {_GROUPED[name] for name in grouped if name in _GROUPED}

    def among(self, words: Collection[str]) -> frozenset[int]:
        """The relations with these bare names."""
        return frozenset(oid for word in words for oid in self.named.get(word, ()))

    def connect(self, line: Line) -> None:
        """Go on with another connection to the same database."""
        self._line = self.fetcher.line = line

    def same_groups(self, fetcher: Fetcher, units: set[Unit]) -> bool:
        """Whether another server gives the same objects for these groups."""
        found = fetcher.fetch(units, {})
        return all(found[unit].objects == self._units[unit].objects for unit in units)

    def _refresh(self, dirty: set[Unit], ahead: Ahead | None) -> None:
        done: set[Unit] = set()
        self.kinds = set()
        while dirty:
            before = {unit: self._units.get(unit) for unit in dirty}
            old_relations = {oid: self.relations.get(oid) for kind, oid in dirty if kind == "relation"}
            there = {unit for unit in dirty if self._there(unit)}
            fetched = self.fetcher.fetch(there, self.relations, ahead)
            if not done:
                self.kinds = {kind for kind, _ in there}
                self.beside = any(kind in _PARTS and oid not in self.mirror.fresh for kind, oid in there)
            # What is affected beyond it depends on what was found.
            ahead = None
            renamed_group = any(
                old is not None and unit in fetched and _renamed(old.names, fetched[unit].names)
                for unit, old in before.items()
            )
            self._take(dirty, fetched)
            if renamed_group:
                # The name of a schema, collation or operator stands in definitions of any kind.
                self.read()
                return
            done |= dirty
            dirty = self._affected(before, old_relations, fetched) - done

    def _there(self, unit: Unit) -> bool:
        """Whether there is anything to fetch: not of what was dropped, nor the columns of a sequence or a TOAST table."""
        kind, oid = unit
        if kind not in _OF_PG_CLASS:
            return True
        owner = self.mirror.owners.get((PG_CLASS, oid))
        return owner is not None and (kind not in _PARTS or owner == ("relation", oid))

    def _take(self, asked: set[Unit], fetched: dict[Unit, Fetched]) -> None:
        """Put units in place of what was there."""
        objects = dict(self._objects)
        gone: set[ObjectKey] = set()
        for unit in asked:
            old = self._units.pop(unit, None)
            if old is not None:
                gone.update(old.objects)
            self._drop(unit)
        for unit, new in fetched.items():
            self._units[unit] = new
            for key, attributes in new.objects.items():
                # The same object in the same place when nothing differs: comparing two states then is comparing addresses.
                if key not in gone or objects.get(key) != attributes:
                    objects[key] = attributes
                gone.discard(key)
            self._keep(unit, new)
        for key in gone:
            objects.pop(key, None)
        self._objects = objects

    def _drop(self, unit: Unit) -> None:
        kind, oid = unit
        self.refreshed.add(oid)
        self._queries.discard(unit)
        if kind == "relation":
            old = self.relations.pop(oid, None)
            if old is not None:
                self.named[old.bare].discard(oid)
        elif kind == "column":
            self.columns.pop(oid, None)
        elif kind == "index":
            self.keys.pop(oid, None)
        elif kind == "sequence":
            self.sequences.pop(oid, None)

    def _keep(self, unit: Unit, new: Fetched) -> None:
        kind, oid = unit
        if kind in ("function", "rule", "policy"):
            self._queries.add(unit)
        if new.relation is not None:
            self.relations[oid] = new.relation
            self.named.setdefault(new.relation.bare, set()).add(oid)
            if new.relation.kind in ("v", "m"):
                self._queries.add(unit)
        if new.columns is not None:
            self.columns[oid] = new.columns
        if new.key is not None:
            self.keys[oid] = new.key
        if new.sequence is not None:
            self.sequences[oid] = new.sequence

    def _affected(
        self,
        before: Mapping[Unit, Fetched | None],
        old_relations: Mapping[int, Relation | None],
        fetched: Mapping[Unit, Fetched],
    ) -> set[Unit]:
        """Units whose text speaks of something that has another name now."""
        dirty: set[Unit] = set()
        references: set[Reference] = set()
        additions: set[Reference] = set()
        for unit, old in before.items():
            kind, oid = unit
            if kind == "relation":
                dirty |= self._moved(unit, old, fetched.get(unit))
            new = fetched.get(unit)
            if old is None or new is None:
                if self._crossed(unit, old, new):
                    references.add((_CLASS_OF_KIND[kind], oid))
                continue
            if old.signature == new.signature:
                continue
            relation = self.relations.get(oid) or old_relations.get(oid)
            if kind in ("relation", "column") and relation is not None:
                same_names = kind == "column" and not _renamed(_numbered(old), _numbered(new))
                if same_names and relation.kind != "c":
                    additions.add((PG_CLASS, oid))
                else:
                    references.update(relation.references())
                    dirty |= self._parts_of(oid)
            elif kind in _CLASS_OF_KIND:
                references.add((_CLASS_OF_KIND[kind], oid))
            elif kind == "constraint":
                gone = set(old.signature) - set(new.signature)
                references.update((PG_CONSTRAINT, int(text.split(":", 1)[0])) for text in gone)
        return dirty | self._dependents(references, additions)

    def _crossed(self, unit: Unit, old: Fetched | None, new: Fetched | None) -> bool:
        """Whether an object came out of, or went into, an excluded schema: it has another name and is not new."""
        catalog = _CLASS_OF_KIND.get(unit[0])
        reference = (catalog or 0, unit[1])
        return (old is None) != (new is None) and reference in self.mirror.owners and reference not in self.mirror.born

    def _moved(self, unit: Unit, old: Fetched | None, new: Fetched | None) -> set[Unit]:
        """Parts of a relation that was renamed, or came out of or went into an excluded schema."""
        oid = unit[1]
        if old is None:
            return {(part, oid) for part in RELATION_PARTS} if self._crossed(unit, old, new) else set()
        if new is not None and old.signature == new.signature:
            return set()
        return self._parts_of(oid)

    def _parts_of(self, oid: int) -> set[Unit]:
        return {(part, oid) for part in RELATION_PARTS if (part, oid) in self._units}

    def _dependents(self, references: set[Reference], additions: set[Reference]) -> set[Unit]:
        """Units of objects that depend on these, by pg_depend; through types, as far as it goes.

        Columns that only came or went change nothing but the text of queries (views, rules, SQL functions, policies).
        """
        dirty: set[Unit] = set()
        seen = references | additions
        pending = set(seen)
        only_queries = set(additions)
        while pending:
            if pending <= only_queries and not self._queries:
                break
            following: set[Reference] = set()
            narrow = pending <= only_queries
            for reference in self._depending(pending):
                if narrow and reference[0] not in _QUERY_HOLDERS:
                    continue
                dirty |= self._units_of(reference, following)
            pending = following - seen
            seen |= following
        return dirty

    def _depending(self, references: set[Reference]) -> list[Reference]:
        ordered = sorted(references)
        parameters = (array(c for c, _ in ordered), array(o for _, o in ordered))
        return self._line.ask(_DEPENDENTS, *parameters).rows()

    def _units_of(self, reference: Reference, following: set[Reference]) -> set[Unit]:
        """The units that show a dependent object; ``following`` gets what to follow from there."""
        catalog = reference[0]
        group = self._group_of_class.get(catalog)
        if group is not None:
            return {group}
        unit = self.mirror.owners.get(reference)
        if catalog == PG_TYPE:
            following.add(reference)
        if unit is None:
            return set()
        kind, owner = unit
        if kind == "relation":
            relation = self.relations.get(owner)
            if catalog == PG_CLASS:
                # A table, view or composite type built with the type: its rows read differently.
                self.reread.add(owner)
                if relation is not None and relation.kind == "c":
                    following.update(relation.references())
            return {unit, ("column", owner)}
        if kind in ("constraint", "index"):
            # A constraint's index depends on the constraint alone.
            return {("constraint", owner), ("index", owner)}
        return {unit}


def _numbered(columns: Fetched) -> dict[str, str]:
    """Names of columns by number."""
    return dict(text.split(":", 1) for text in columns.signature)


def _renamed(old: Mapping[_Known, str], new: Mapping[_Known, str]) -> bool:
    return any(reference in new and new[reference] != name for reference, name in old.items())
