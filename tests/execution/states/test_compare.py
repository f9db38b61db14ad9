"""Comparing is pure: states made by hand."""

from __future__ import annotations

from pytest_pgmigrate.execution.states import compare
from pytest_pgmigrate.model.state import Attributes, ObjectKey, SequenceValue, State, TableDigest

USERS = ObjectKey("table", "public.users")
NAME = ObjectKey("column", "public.users.name", "public.users")
ID = ObjectKey("column", "public.users.id", "public.users")
KEY = ObjectKey("constraint", "public.users users_pkey", "public.users")
KEY_INDEX = ObjectKey("index", "public.users_pkey", "public.users")
COUNTER = ObjectKey("sequence", "public.users_id_seq")
OBJECTS: dict[ObjectKey, Attributes] = {
    USERS: {"owner": "a"},
    ID: {"type": "int", "position": 1},
    NAME: {"type": "text", "position": 2},
    KEY: {"definition": "PRIMARY KEY (id)"},
    KEY_INDEX: {"constraint": "users_pkey"},
    COUNTER: {"owned_by": "public.users.id"},
}


def state(objects: dict[ObjectKey, Attributes], **rest: object) -> State:
    return State(objects, rest.get("tables", {}), rest.get("sequences", {}))  # type: ignore[arg-type]


def without(*keys: ObjectKey) -> State:
    return state({key: value for key, value in OBJECTS.items() if key not in keys})


def test_equal_states_have_no_difference() -> None:
    assert not compare(state(OBJECTS), state(dict(OBJECTS)))


def test_missing_table_is_one_line() -> None:
    difference = compare(state(OBJECTS), state({}))
    assert [str(change) for change in difference.objects] == ["table public.users: missing"]
    difference = compare(state({}), state(OBJECTS))
    assert [str(change) for change in difference.objects] == ["table public.users: extra"]


def test_constraint_and_its_index_are_one_line() -> None:
    assert [str(c) for c in compare(state(OBJECTS), without(KEY, KEY_INDEX)).objects] == [
        "constraint public.users users_pkey: missing"
    ]
    assert [str(c) for c in compare(state(OBJECTS), without(KEY_INDEX)).objects] == ["index public.users_pkey: missing"]


def test_column_and_its_sequence_are_one_line() -> None:
    assert [str(c) for c in compare(state(OBJECTS), without(ID, COUNTER)).objects] == [
        "column public.users.id: missing"
    ]


def test_attributes_and_position() -> None:
    new = {**OBJECTS, NAME: {"type": "varchar", "position": 1}}
    difference = compare(state(OBJECTS), state(new))
    assert [(c.attribute, c.old, c.new) for c in difference.objects] == [
        ("position", 2, 1),
        ("type", "text", "varchar"),
    ]
    moved = {**OBJECTS, NAME: {"type": "text", "position": 1}}
    assert compare(state(OBJECTS), state(moved)).only_column_order
    assert not compare(state(OBJECTS), state(moved), ignore_position=True)


def test_tables_by_digest() -> None:
    def tables(digest: TableDigest) -> State:
        return state({}, tables={"t": digest})

    old = tables(TableDigest(2, 10, {"a": 1, "b": 2}))
    assert not compare(old, tables(TableDigest(2, 10, {"a": 1, "b": 2})))
    assert compare(old, tables(TableDigest(2, 10, {"a": 1, "b": 3}))).tables[0].columns == ("b",)
    assert compare(old, tables(TableDigest(3, 11, {"a": 5, "b": 6}))).tables[0].columns == ()
    assert not compare(old, tables(TableDigest(2, 10, {"a": 1}))), "a dropped column is the catalog's difference"
    assert not compare(old, state({})), "so is a dropped table"
    assert compare(old, tables(TableDigest(2, 99, {"a": 7, "b": 8}, keyed=False))).tables, "cannot be told from digests"
    assert not compare(tables(TableDigest(0, 0, {"a": 0})), tables(TableDigest(0, 0, {"a": 0}, keyed=False)))
    plain = TableDigest(2, 10, {"a": 1, "b": 2}, keyed=False)
    assert compare(tables(plain), tables(TableDigest(2, 11, {"a": 1, "b": 2}, keyed=False))).tables, "swapped values"


def test_sequences_forward_are_no_difference() -> None:
    def at(value: int) -> State:
        return state({}, sequences={"s": SequenceValue(value, True)})

    assert not compare(at(3), at(5))
    assert compare(at(3), at(5)).sequences
    assert compare(at(5), at(3))
