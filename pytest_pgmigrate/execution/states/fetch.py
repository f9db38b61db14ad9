"""Fetches the definitions of units and makes objects of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.states.catalogs import Reference, Unit
from pytest_pgmigrate.execution.states.groups import GROUPS
from pytest_pgmigrate.execution.states.line import array
from pytest_pgmigrate.execution.states.mirror import kept
from pytest_pgmigrate.execution.states.model import Column, Columns, Relation, Sequence
from pytest_pgmigrate.execution.states.parts import EXCLUDED, HEADER, RELATION_PARTS_SQL, Part
from pytest_pgmigrate.execution.states.routines import ROUTINE_PARTS_SQL
from pytest_pgmigrate.model.state import Attributes, ObjectKey, SequenceValue

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.ahead import Ahead
    from pytest_pgmigrate.execution.states.line import Answer, Line

PARTS: tuple[Part, ...] = RELATION_PARTS_SQL + ROUTINE_PARTS_SQL
_GROUPS = {f"group {group.name}": group for group in GROUPS}
GROUP_UNITS: frozenset[Unit] = frozenset((name, 0) for name in _GROUPS)
_SORTED = frozenset(("acl", "options", "toast_options", "server_options", "_initial"))
_ARRAYS = frozenset((1009, 1003, 1007, 1005))
"""OIDs of text[], name[], int4[] and int2[]."""

_AHEAD = (kept("relations").encode(), kept("sequences").encode())

_IN_SCHEMA = frozenset(("index", "statistics"))

Row = Mapping[str, Any]


@dataclass(slots=True)
class Fetched:
    """One unit as it is now."""

    objects: dict[ObjectKey, Attributes] = field(default_factory=dict)
    signature: tuple[str, ...] = ()
    relation: Relation | None = None
    columns: Columns | None = None
    key: tuple[str, ...] | None = None
    sequence: Sequence | None = None
    names: dict[Reference, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the columns of a statement's result are: first the header, then hidden ones, then attributes."""

    hidden: tuple[tuple[int, str], ...]
    first: int
    names: tuple[str, ...]
    numbers: Mapping[str, int]
    ordered: tuple[str, ...]
    listed: tuple[str, ...]

    @classmethod
    def of(cls, answer: Answer) -> _Layout:
        columns = answer.columns()
        aliases = [name for name, _ in columns]
        hidden = tuple((n, alias) for n, alias in enumerate(aliases) if n >= HEADER and alias.startswith("_"))
        first = HEADER + len(hidden)
        names = tuple(aliases[first:])
        arrays = {name for name, type_oid in columns if type_oid in _ARRAYS}
        numbers = {alias: number for number, alias in enumerate(aliases) if number >= first}
        ordered = tuple(name for name in names if name in _SORTED)
        return cls(hidden, first, names, numbers, ordered, tuple(n for n in names if n in arrays - _SORTED))


class Fetcher:
    """Runs the statements of the wanted units in one round trip."""

    def __init__(
        self,
        line: Line,
        exclude_schemas: Collection[str],
        exclude_tables: Collection[str],
    ) -> None:
        self.line = line
        version = line.connection.info.server_version
        names = ", ".join("'" + name.replace("'", "''") + "'" for name in exclude_schemas)
        excluded = f"array[{names}]::text[]"
        self._parts = [(part, part.sql(version).replace(EXCLUDED, excluded).encode()) for part in PARTS]
        self._parts_ahead = [(part, sql.replace(b"$1", _AHEAD[part.kind == "sequence"])) for part, sql in self._parts]
        self._groups = {
            name: group.sql(version).replace(EXCLUDED, excluded).encode() for name, group in _GROUPS.items()
        }
        self._layouts: dict[str, _Layout] = {}
        self._exclude_tables = frozenset(exclude_tables)

    def ask_ahead(self, kinds: Collection[str]) -> dict[str, Answer]:
        """Ask for parts of the relations and sequences that ``ahead`` found in the server itself."""
        return {part.kind: self.line.ask(sql) for part, sql in self._parts_ahead if part.kind in kinds}

    def fetch(
        self, units: Iterable[Unit], known: Mapping[int, Relation], ahead: Ahead | None = None
    ) -> dict[Unit, Fetched]:
        """Every unit that exists and is ours to compare; ``known`` are the relations that need not be fetched."""
        wanted: dict[str, list[int]] = {}
        for kind, oid in units:
            wanted.setdefault(kind, []).append(oid)
        answers: list[tuple[Part | None, str, Answer]] = []
        for one, sql in self._parts:
            oids = wanted.get(one.kind)
            if not oids:
                continue
            if ahead is not None:
                fresh = ahead.fresh(one.kind).intersection(oids)
                if fresh:
                    answers.append((one, one.kind, ahead.parts[one.kind]))
                    oids = [oid for oid in oids if oid not in fresh]
            if oids:
                answers.append((one, one.kind, self.line.ask(sql, array(oids))))
        for name, sql in self._groups.items():
            if name in wanted:
                answers.append((None, name, self.line.ask(sql)))
        found: dict[Unit, Fetched] = {}
        relations = dict(known)
        for oid in wanted.get("relation", ()):
            relations.pop(oid, None)
        for part, name, answer in answers:
            if part is None:
                found[name, 0] = _group(answer.rows())
            else:
                self._objects(part, answer, relations, found, set(wanted[name]))
        return found

    def _objects(
        self,
        part: Part,
        answer: Answer,
        relations: dict[int, Relation],
        found: dict[Unit, Fetched],
        wanted: Collection[int],
    ) -> None:
        layout = self._layouts.get(part.kind)
        if layout is None:
            layout = self._layouts[part.kind] = _Layout.of(answer)
        remember = _REMEMBER.get(part.kind)
        leavable = part.kind in ("relation", "sequence")
        for row in answer.rows():
            oid: int = row[0]
            if oid not in wanted:
                continue
            relation = None
            if part.relation:
                relation = relations.get(oid)
                if relation is None:
                    continue
            extra = {alias: row[number] for number, alias in layout.hidden}
            if leavable and self._left_out(part, row, extra, relations):
                continue
            unit = found.get((part.kind, oid))
            if unit is None:
                unit = found[part.kind, oid] = Fetched()
            if row[1]:
                unit.signature += (row[1],)
            if remember is not None:
                remember(unit, row, extra)
            if part.kind == "relation" and unit.relation is not None:
                relations[oid] = unit.relation
            attributes: dict[str, object] = dict(zip(layout.names, row[layout.first :], strict=True))
            for alias in layout.ordered:
                attributes[alias] = tuple(sorted(row[layout.numbers[alias]] or ()))
            for alias in layout.listed:
                if attributes[alias] is not None:
                    attributes[alias] = tuple(row[layout.numbers[alias]])
            key = _key(part.kind, row, relation)
            if not _implied(part.kind, extra, attributes, relation):
                _polish(part.kind, attributes, relation, unit, extra)
                unit.objects[key] = attributes

    def _left_out(self, part: Part, row: tuple[Any, ...], extra: Row, relations: Mapping[int, Relation]) -> bool:
        if part.kind == "sequence" and extra["_owner"] and extra["_owner"] not in relations:
            return True
        return bool(self._exclude_tables & {extra["_name"], f"{extra['_schema']}.{extra['_name']}", row[3]})


def _key(part: str, row: tuple[Any, ...], relation: Relation | None) -> ObjectKey:
    kind, name = row[2], row[3]
    if relation is None:
        return ObjectKey(kind, name)
    if part in _IN_SCHEMA:
        return ObjectKey(kind, name, relation.name)
    return ObjectKey(kind, f"{relation.name}{'.' if part == 'column' else ' '}{name}", relation.name)


def _implied(part: str, extra: Row, attributes: Attributes, relation: Relation | None) -> bool:
    """Objects that say nothing their column or relation does not say."""
    if relation is None:
        return False
    if part == "column" and relation.kind in ("v", "m"):
        # Names and types of a view's columns are in its definition.
        return not any(attributes[name] for name in ("default", "comment", "acl", "options", "statistics"))
    if part == "constraint" and extra["_type"] == "n":
        # PostgreSQL 18 lists NOT NULL as a constraint; with the name it gives by itself it is the column's attribute.
        implied = f"{relation.bare}_{extra['_column']}_not_null" == extra["_name"]
        plain = attributes["validated"] and attributes["comment"] is None
        plain = plain and not str(attributes["definition"]).endswith("NO INHERIT")
        return bool(plain and (implied or not attributes["local"]))
    return False


def _polish(part: str, attributes: dict[str, object], relation: Relation | None, unit: Fetched, extra: Row) -> None:
    if part == "column" and unit.columns is not None:
        # The rank among the live columns: attnum tells of columns dropped long ago.
        attributes["position"] = len(unit.columns.columns)
    if part == "column" and relation is not None and relation.kind in ("v", "m"):
        for name in ("type", "position", "not_null", "collation"):
            attributes.pop(name)
    if part == "sequence" and extra["_ownership"] == "i":
        attributes["identity"] = True


def _remember_relation(unit: Fetched, row: tuple[Any, ...], extra: Row) -> None:
    unit.relation = Relation(
        row[0],
        row[3],
        extra["_schema"],
        extra["_name"],
        extra["_kind"],
        extra["_file"],
        extra["_toast"],
        extra["_type"],
        extra["_array"],
        extra["_unlogged"],
        extra["_populated"],
    )


def _remember_column(unit: Fetched, row: tuple[Any, ...], extra: Row) -> None:
    before = unit.columns or Columns((), False)
    column = Column(extra["_number"], extra["_name"], extra["_vector"], extra["_plain"])
    unit.columns = Columns((*before.columns, column), before.named or bool(extra["_named"]))


def _remember_index(unit: Fetched, row: tuple[Any, ...], extra: Row) -> None:
    if extra["_key"]:
        unit.key = tuple(extra["_key"])


def _remember_sequence(unit: Fetched, row: tuple[Any, ...], extra: Row) -> None:
    last = extra["_last"]
    value = SequenceValue(last, extra["_called"]) if last is not None else None
    unit.sequence = Sequence(row[3], extra["_file"], extra["_unlogged"], value)


_REMEMBER: dict[str, Callable[[Fetched, tuple[Any, ...], Row], None]] = {
    "relation": _remember_relation,
    "column": _remember_column,
    "index": _remember_index,
    "sequence": _remember_sequence,
}


def _group(rows: Iterable[tuple[Any, ...]]) -> Fetched:
    unit = Fetched()
    for kind, name, catalog, oid, attributes in rows:
        if oid:
            unit.names[catalog, oid] = name
        for alias in _SORTED & attributes.keys():
            attributes[alias] = tuple(sorted(attributes[alias] or ()))
        if "_initial" in attributes and attributes.pop("_initial") == attributes["acl"]:
            continue
        unit.objects[ObjectKey(kind, name)] = attributes
    return unit
