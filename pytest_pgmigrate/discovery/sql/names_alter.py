"""The names in ALTER statements: the relation that is altered, and what ADD and RENAME would make."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.discovery.sql.constraints import constraint_names, part, referenced, sibling
from pytest_pgmigrate.discovery.sql.cursor import Cursor
from pytest_pgmigrate.discovery.sql.objects import take_object

_RELATIONS = ("TABLE", "INDEX", "VIEW", "SEQUENCE", "MATVIEW", "FOREIGN_TABLE")
_ON_RELATION = ("TRIGGER", "POLICY", "RULE")
_NAMELESS = ("SYSTEM", "DEFAULT_PRIVILEGES", "USER_MAPPING", "LARGE_OBJECT", "OPERATOR", "")
_TABLE_CONSTRAINT = ("PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "EXCLUDE", "NOT")

Found = tuple[list[str], list[str]]


def alter_names(cursor: Cursor) -> Found:
    """Relations and would-be-made objects of an ALTER statement, the cursor standing behind ALTER."""
    kind = take_object(cursor)
    if kind in _NAMELESS:
        return [], []
    if kind in _RELATIONS:
        return _relation(cursor)
    cursor.take_if_exists()
    name = cursor.name()
    cursor.skip_parentheses()
    if kind in _ON_RELATION:
        return _on_relation(cursor)
    if cursor.take("USING"):
        cursor.name()
    creates = list(_renamed(name, cursor))
    if kind in ("TYPE", "DOMAIN"):
        creates += [made for item in cursor.items() for made in _added(name, item)]
    return [name], creates


def _relation(cursor: Cursor) -> Found:
    if cursor.word() == "ALL" and cursor.word(1) == "IN":
        return [], []
    cursor.take_if_exists()
    table = cursor.relation()
    relations, creates = [table], list(_renamed(table, cursor))
    for item in cursor.items():
        creates += _added(table, Cursor(item.text, item.tokens))
        relations += referenced(item) if item.word() == "ADD" else _other_table(item)
    return relations, creates


def _other_table(item: Cursor) -> Iterator[str]:
    """The partition of ATTACH and DETACH, the parent of INHERIT."""
    partition = item.take_any("ATTACH", "DETACH") and item.take("PARTITION")
    if partition or item.take("INHERIT") or item.take("NO", "INHERIT"):
        yield item.name()


def _on_relation(cursor: Cursor) -> Found:
    if not cursor.take("ON"):
        return [], []
    table = cursor.relation()
    creates = [part(table, cursor.name())] if cursor.take("RENAME", "TO") else []
    return [table], creates


def _renamed(name: str, cursor: Cursor) -> Iterator[str]:
    if cursor.take("SET", "SCHEMA"):
        yield f"{cursor.name()}.{name.rpartition('.')[2]}"
        return
    if not cursor.take("RENAME"):
        return
    if cursor.take("TO"):
        yield sibling(name, cursor.name())
        return
    if cursor.word() == "VALUE":
        return
    if cursor.word(1) != "TO":  # RENAME [COLUMN | ATTRIBUTE | CONSTRAINT] old TO new; a column may bear such a name
        cursor.take_any("COLUMN", "ATTRIBUTE", "CONSTRAINT")
    cursor.name()
    if cursor.take("TO"):
        yield part(name, cursor.name())


def _added(name: str, item: Cursor) -> Iterator[str]:
    if not item.take("ADD") or item.word() == "VALUE":
        return
    if item.word() not in (*_TABLE_CONSTRAINT, "CONSTRAINT"):
        item.take_any("COLUMN", "ATTRIBUTE")
        item.take_if_exists()
        yield part(name, item.name())
    yield from (part(name, found) for found in constraint_names(item))
