"""Which relations and functions of version n-1 the up may have broken: the others are not tried."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.names import parts, plain

if TYPE_CHECKING:
    from collections.abc import Collection

    import psycopg

    from pytest_pgmigrate.model.state import Difference, ObjectChange, State

# Statements name none of these, or do not fail by them; of rights nothing is known, the drill is a superuser.
_HARMLESS = frozenset({
    "position", "comment", "acl", "owner", "options", "server_options", "statistics", "storage", "compression",
    "tablespace", "clustered", "replica_identity", "local", "inherited", "partition", "row_security", "persistence",
    "access_method", "validated",
})  # fmt: skip
_REFERENCES = re.compile(r'\bREFERENCES ((?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?)')
_RELATIONS = ("table", "view", "materialized view", "foreign table")
_ROUTINES = ("function", "procedure")


def relations(changed: Difference, before: State, after: State) -> tuple[str, ...]:
    """Relations as SQL names them: those changed, gone, newly referred to, or with a type that changed."""
    found: dict[str, None] = {}
    for change in changed.objects:
        if not _matters(change, after):
            continue
        key = change.key
        if key.kind in _RELATIONS:
            found[key.name] = None
        elif key.relation:
            found[key.relation] = None
        if key.kind in ("type", "domain") and change.change != "extra":
            found.update(dict.fromkeys(_of_type(key.name, before)))
    for definition in _new_keys(changed, after):
        if match := _REFERENCES.search(definition):
            found[match[1]] = None
    return tuple(found)


def refers_to_new(constraint: str, before: State, after: State) -> bool:
    """Whether a foreign key refers to a table that the old release does not know, so never writes to first."""
    known = {key.name.rsplit(".", 1)[-1] for key in before.objects if key.kind == "table"}
    for key, attributes in after.objects.items():
        if key.kind == "constraint" and key.name.rsplit(" ", 1)[-1].strip('"') == constraint:
            found = _REFERENCES.search(str(attributes.get("definition", "")))
            if found is not None and found[1].rsplit(".", 1)[-1] not in known:
                return True
    return False


def widened(changed: Difference, after: State) -> tuple[str, ...]:
    """Relations that got columns which no statement has to know: only ``SELECT *`` gives something else."""
    found = {c.key.relation: None for c in changed.objects if c.key.kind == "column" and _unasked(c, after)}
    return tuple(found)


def routines(changed: Difference) -> tuple[str, ...]:
    """Bare names of functions and procedures that were changed or are gone."""
    names = [
        change.key.name.split("(", 1)[0].rsplit(".", 1)[-1].strip('"')
        for change in changed.objects
        if change.key.kind in _ROUTINES and change.change != "extra" and change.attribute not in _HARMLESS
    ]
    return tuple(dict.fromkeys(names))


_FIRED = b"""
SELECT DISTINCT t.tgrelid::int8 FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
 WHERE NOT t.tgisinternal AND p.proname = ANY (%s::text[])
"""


def fired(connection: psycopg.Connection[Any], names: Collection[str]) -> list[int]:
    """OIDs of tables whose triggers call one of these functions."""
    if not names:
        return []
    return [oid for (oid,) in connection.execute(_FIRED, (list(names),), prepare=False).fetchall()]


def _unasked(change: ObjectChange, after: State) -> bool:
    """A new column that may be left out: NULL or a default stands in for it."""
    attributes = after.objects.get(change.key, {})
    if change.change != "extra" or attributes.get("generated"):
        return False
    return not attributes.get("not_null") or bool(attributes.get("default") or attributes.get("identity"))


def _matters(change: ObjectChange, after: State) -> bool:
    kind = change.key.kind
    if kind == "column" and _unasked(change, after):
        return False
    if change.change == "changed":
        return change.attribute not in _HARMLESS
    if kind in ("policy", "statistics", "schema", "extension", "sequence"):
        return False
    if kind == "index":
        attributes = after.objects.get(change.key, {})
        return "UNIQUE" in str(attributes.get("definition", "")) or "((" in str(attributes.get("definition", ""))
    return not (kind in _RELATIONS and change.change == "extra")


def _new_keys(changed: Difference, after: State) -> list[str]:
    """Definitions of the foreign keys that the up made, those of new tables too."""
    new = {c.key.name for c in changed.objects if c.change == "extra" and c.key.kind in _RELATIONS}
    made = {c.key for c in changed.objects if c.change == "extra" and c.key.kind == "constraint"}
    return [
        str(attributes.get("definition", ""))
        for key, attributes in (after.objects.items() if new or made else ())
        if key.kind == "constraint" and (key in made or key.relation in new)
    ]


def _of_type(name: str, state: State) -> list[str]:
    bare = name.rsplit(".", 1)[-1]
    return [
        key.relation
        for key, attributes in state.objects.items()
        if key.kind == "column" and str(attributes.get("type", "")).removesuffix("[]").rsplit(".", 1)[-1] == bare
    ]


def edges(changed: Difference) -> tuple[tuple[str, str, str], ...]:
    """Columns (table, column) that may no longer be ``NULL``, or be ``left out`` because their default is gone."""
    found = []
    for change in changed.objects:
        if change.key.kind != "column" or change.change != "changed":
            continue
        table, column = plain(change.key.relation), parts(change.key.name)[-1]
        if change.attribute == "not_null" and change.new:
            found.append((table, column, "NULL"))
        if change.attribute == "default" and change.new is None:
            found.append((table, column, "left out"))
    return tuple(found)
