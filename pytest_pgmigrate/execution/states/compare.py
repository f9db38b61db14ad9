"""Compares two states: object by object, attribute by attribute, table by table. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import compress, islice
from operator import is_, is_not

from pytest_pgmigrate.model.state import (
    Attributes,
    Difference,
    ObjectChange,
    ObjectKey,
    SequenceChange,
    SequenceValue,
    State,
    TableChange,
    TableDigest,
)


def compare(old: State, new: State, *, ignore_position: bool = False) -> Difference:
    """How ``new`` differs from ``old``, the one that should be; tables by digest, without rows (see ``locate``).

    What belongs to a relation that is missing or extra is not listed beside it.
    """
    objects = _objects(old.objects, new.objects)
    if ignore_position:
        objects = tuple(change for change in objects if change.attribute != "position")
    roles = _roles(old.roles, new.roles)
    return Difference(objects, _tables(old.tables, new.tables), _sequences(old.sequences, new.sequences), roles)


def _objects(old: Mapping[ObjectKey, Attributes], new: Mapping[ObjectKey, Attributes]) -> tuple[ObjectChange, ...]:
    if old is new:
        return ()
    suspects = _suspects(old, new)
    extra = {key for key, _, before in suspects if before is None}
    missing: set[ObjectKey] = set()
    if len(old) > len(new) - len(extra):
        missing = set(old) - set(new)
    changes = [ObjectChange(key, "missing") for key in missing if not _follows(key, old, missing)]
    changes += [ObjectChange(key, "extra") for key in extra if not _follows(key, new, extra)]
    for key, after, before in suspects:
        if before is not None:
            changes += _attributes(key, before, after)
    return tuple(sorted(changes, key=lambda change: (change.key, change.change, change.attribute)))


def _suspects(
    old: Mapping[ObjectKey, Attributes], new: Mapping[ObjectKey, Attributes]
) -> list[tuple[ObjectKey, Attributes, Attributes | None]]:
    """Objects of ``new`` that may differ, each with what ``old`` has under its key.

    Two states of one reader share keys and attributes of everything that was not read again, mostly in the same places.
    Comparing addresses is many times quicker than hashing thousands of keys; whatever is not the very same is then
    compared properly.
    """
    common = min(len(old), len(new))
    if all(map(is_, old, new)):
        changed = map(is_not, old.values(), new.values())
        suspects = [(key, new[key], old.get(key)) for key in compress(new, changed)]
        return suspects + [(key, new[key], None) for key in islice(new, common, None)]
    same = dict(zip(map(id, old.values()), old, strict=True))
    return [(key, after, old.get(key)) for key, after in new.items() if same.get(id(after)) is not key]


def _follows(key: ObjectKey, objects: Mapping[ObjectKey, Attributes], gone: set[ObjectKey]) -> bool:
    """Whether an object only shares the fate of another one in ``gone``."""
    if key.relation and any(ObjectKey(kind, key.relation) in gone for kind in _RELATIONS):
        return True
    attributes = objects[key]
    if key.kind == "index":
        # The index of a constraint.
        name = attributes.get("constraint")
        return name is not None and ObjectKey("constraint", f"{key.relation} {name}", key.relation) in gone
    if key.kind == "sequence" and attributes.get("owned_by"):
        column = str(attributes["owned_by"])
        relation = _relation_of(column)
        return ObjectKey("column", column, relation) in gone or ObjectKey("table", relation) in gone
    return False


_RELATIONS = ("table", "view", "materialized view", "foreign table", "type")


def _relation_of(column: str) -> str:
    """``public.users`` of ``public.users.id``; delimited identifiers may hold dots."""
    inside = False
    for position in range(len(column) - 1, -1, -1):
        if column[position] == '"':
            inside = not inside
        elif column[position] == "." and not inside:
            return column[:position]
    return ""


def _attributes(key: ObjectKey, old: Attributes, new: Attributes) -> Iterator[ObjectChange]:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before != after:
            yield ObjectChange(key, "changed", name, before, after)


def _roles(old: Mapping[str, Attributes], new: Mapping[str, Attributes]) -> tuple[ObjectChange, ...]:
    before = {ObjectKey("role", name): attributes for name, attributes in old.items()}
    after = {ObjectKey("role", name): attributes for name, attributes in new.items()}
    return () if old is new else _objects(before, after)


def _tables(old: Mapping[str, TableDigest], new: Mapping[str, TableDigest]) -> tuple[TableChange, ...]:
    if old == new:
        return ()
    changes = []
    for name in sorted(old):
        before, after = old[name], new.get(name)
        if after is not None and after is not before:
            change = _table(name, before, after)
            if change is not None:
                changes.append(change)
    return tuple(changes)


def _table(name: str, old: TableDigest, new: TableDigest) -> TableChange | None:
    """A column that only one side has is the catalog's difference; here the rows of the common columns count.

    Digests keyed otherwise (the primary key is another one) say nothing of each other: then the rows are suspected,
    unless there are none, and ``locate`` tells.
    """
    if old.keyed != new.keyed:
        return TableChange(name, old.count, new.count) if old.count or new.count else None
    common = [column for column in old.columns if column in new.columns]
    differing = tuple(column for column in common if old.columns[column] != new.columns[column])
    same_rows = old.count == new.count and not differing
    if same_rows and (old.rows == new.rows or not len(common) == len(old.columns) == len(new.columns)):
        return None
    # When rows are missing, extra or have another key, the sums of all columns differ, which says nothing of columns.
    shown = differing if old.count == new.count and len(differing) < len(common) else ()
    return TableChange(name, old.count, new.count, shown)


def without_views(difference: Difference, state: State) -> Difference:
    """The difference without rows of materialized views.

    They are what the view's definition gave at its last refresh, and a refresh is no loss: tables and definitions are
    compared for themselves. Whether a view holds data at all is its attribute ``populated``.
    """
    if not any(ObjectKey("materialized view", change.table) in state.objects for change in difference.tables):
        return difference
    tables = (c for c in difference.tables if ObjectKey("materialized view", c.table) not in state.objects)
    return replace(difference, tables=tuple(tables))


def _sequences(old: Mapping[str, SequenceValue], new: Mapping[str, SequenceValue]) -> tuple[SequenceChange, ...]:
    """A sequence that one side lacks is the catalog's difference."""
    if old == new:
        return ()
    return tuple(
        SequenceChange(name, old[name], new[name]) for name in sorted(old) if name in new and old[name] != new[name]
    )
