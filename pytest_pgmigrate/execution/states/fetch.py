"""Fetches the definitions of units and makes objects of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.states.catalogs import Reference, Unit
from pytest_pgmigrate.execution.states.groups import GROUPS
from pytest_pgmigrate.execution.states.model import Column, Columns, Relation, Sequence
from pytest_pgmigrate.execution.states.parts import HEADER, RELATION_PARTS_SQL, Part
from pytest_pgmigrate.execution.states.routines import ROUTINE_PARTS_SQL
from pytest_pgmigrate.model.state import Attributes, ObjectKey

if TYPE_CHECKING:
    import psycopg

PARTS: tuple[Part, ...] = RELATION_PARTS_SQL + ROUTINE_PARTS_SQL
_GROUPS = {f"group {group.name}": group for group in GROUPS}
GROUP_UNITS: frozenset[Unit] = frozenset((name, 0) for name in _GROUPS)
_SORTED = frozenset(("acl", "options", "toast_options", "server_options", "_initial"))
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


class Fetcher:
    """Runs the statements of the wanted units in one round trip."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        exclude_schemas: Collection[str],
        exclude_tables: Collection[str],
    ) -> None:
        self.connection = connection
        version = connection.info.server_version
        self._parts = [(part, part.sql(version)) for part in PARTS]
        self._groups = {name: group.sql(version) for name, group in _GROUPS.items()}
        self._excluded = list(exclude_schemas)
        self._exclude_tables = frozenset(exclude_tables)

    def fetch(self, units: Iterable[Unit], known: Mapping[int, Relation]) -> dict[Unit, Fetched]:
        """Every unit that exists and is ours to compare; ``known`` are the relations that need not be fetched."""
        wanted: dict[str, list[int]] = {}
        for kind, oid in units:
            wanted.setdefault(kind, []).append(oid)
        cursors: list[tuple[Part | None, str, psycopg.Cursor[Any]]] = []
        with self.connection.pipeline():
            for one, sql in self._parts:
                if one.kind in wanted:
                    asked = {"oids": wanted[one.kind], "excluded": self._excluded}
                    cursors.append((one, one.kind, self.connection.execute(sql, asked, prepare=True)))
            for name, sql in self._groups.items():
                if name in wanted:
                    parameters = {"excluded": self._excluded}
                    cursors.append((None, name, self.connection.execute(sql, parameters, prepare=True)))
        found: dict[Unit, Fetched] = {}
        relations = dict(known)
        for oid in wanted.get("relation", ()):
            relations.pop(oid, None)
        for part, name, cursor in cursors:
            if part is None:
                found[name, 0] = _group(cursor.fetchall())
            else:
                self._objects(part, cursor, relations, found)
        return found

    def _objects(
        self, part: Part, cursor: psycopg.Cursor[Any], relations: dict[int, Relation], found: dict[Unit, Fetched]
    ) -> None:
        assert cursor.description is not None
        aliases = [column.name for column in cursor.description][HEADER:]
        shown = [(number, alias) for number, alias in enumerate(aliases, HEADER) if not alias.startswith("_")]
        ordered = [number for number, alias in shown if alias in _SORTED]
        hidden = [(number, alias) for number, alias in enumerate(aliases, HEADER) if alias.startswith("_")]
        remember = _REMEMBER.get(part.kind)
        for row in cursor:
            oid: int = row[0]
            relation = None
            if part.relation:
                relation = relations.get(oid)
                if relation is None:
                    continue
            extra = {alias: row[number] for number, alias in hidden}
            if self._left_out(part, row, extra, relations):
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
            attributes: dict[str, object] = {}
            for number, alias in shown:
                value = row[number]
                attributes[alias] = value if not isinstance(value, list) else tuple(value)
            for number in ordered:
                attributes[aliases[number - HEADER]] = tuple(sorted(row[number] or ()))
            key = _key(part.kind, row, relation)
            if key is not None and not _implied(part.kind, extra, attributes, relation):
                _polish(part.kind, attributes, relation, unit, extra)
                unit.objects[key] = attributes

    def _left_out(self, part: Part, row: tuple[Any, ...], extra: Row, relations: Mapping[int, Relation]) -> bool:
        if part.kind not in ("relation", "sequence"):
            return False
        if part.kind == "sequence" and extra["_owner"] and extra["_owner"] not in relations:
            return True
        return bool(self._exclude_tables & {extra["_name"], f"{extra['_schema']}.{extra['_name']}", row[3]})


def _key(part: str, row: tuple[Any, ...], relation: Relation | None) -> ObjectKey | None:
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
    column = Column(extra["_number"], extra["_name"], extra["_vector"])
    unit.columns = Columns((*before.columns, column), before.named or bool(extra["_named"]))


def _remember_index(unit: Fetched, row: tuple[Any, ...], extra: Row) -> None:
    if extra["_key"]:
        unit.key = tuple(extra["_key"])


def _remember_sequence(unit: Fetched, row: tuple[Any, ...], extra: Row) -> None:
    unit.sequence = Sequence(row[3], extra["_file"])


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
