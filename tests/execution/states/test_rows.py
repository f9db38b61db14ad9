"""The rows that differ, by key, with what was lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_pgmigrate.execution.states import StateReader, compare, locate, locate_without_before
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.state import RowChange, TableChange
from tests.execution.states.conftest import Pair

USERS = (
    "create table users (id int primary key, name text, age int default 5);"
    " insert into users select i, 'n' || i, i from generate_series(1, {count}) i"
)


def test_rows_by_key(pair: Callable[[str, str], Pair]) -> None:
    change = locate(
        *pair(
            USERS.format(count=3000),
            "update users set name = null where id = 17; delete from users where id = 77; insert into users values (9001, 'x')",
        ),
        "public.users",
    )
    assert (change.old_count, change.new_count, change.columns) == (3000, 3000, ("name",))
    assert sorted(change.rows, key=str) == [
        RowChange({"id": "17"}, "changed", {"name": ("n17", None)}),
        RowChange({"id": "77"}, "missing"),
        RowChange({"id": "9001"}, "extra"),
    ]
    assert change.lost_columns == ()


@pytest.mark.parametrize("count", [5, 5000])
def test_lost_column_and_the_limit(pair: Callable[[str, str], Pair], count: int) -> None:
    sides = pair(
        USERS.format(count=count), "alter table users drop column age; alter table users add column age int default 5"
    )
    change = locate(*sides, TableChange("public.users", count, count))
    assert change.lost_columns == ("age",)
    assert change.columns == ("age",)
    assert len(change.rows) in (4, 5)
    assert all(row.values["age"][1] == "5" for row in change.rows)


def test_no_key_compares_whole_rows(pair: Callable[[str, str], Pair]) -> None:
    start = "create table plain (a int, b text); insert into plain values (1, 'x'), (1, 'x'), (2, null)"
    change = locate(
        *pair(start, "delete from plain where ctid = '(0,1)'; update plain set b = '' where a = 2"), "public.plain"
    )
    assert (change.old_count, change.new_count) == (3, 2)
    assert sorted((row.change, row.key["a"], row.key["b"]) for row in change.rows if row.key["b"] is not None) == [
        ("extra", "2", ""),
        ("missing", "1", "x"),
    ]
    assert RowChange({"a": "2", "b": None}, "missing") in change.rows


def test_another_key_is_no_other_row(cluster: Cluster, pair: Callable[[str, str], Pair]) -> None:
    """Digests keyed otherwise cannot be compared; looking at the rows clears the suspicion."""
    old, new = pair(USERS.format(count=30), "alter table users drop constraint users_pkey")
    readers = [StateReader(cluster, connection.info.dbname) for connection in (old, new)]
    before, after = (reader.read() for reader in readers)
    for reader in readers:
        reader.close()
    (suspect,) = compare(before, after).tables
    cleared = locate(old, new, suspect, before, after)
    assert (cleared.rows, cleared.columns, cleared.old_count, cleared.new_count) == ((), (), 30, 30)
    new.execute("update users set age = -1 where id = 4")
    assert len(locate(old, new, suspect, before, after).rows) == 2


def test_names_and_values_that_need_quoting(pair: Callable[[str, str], Pair]) -> None:
    start = """create table "Odd %s "" table" ("a %b" int primary key, "select" text, pgmigrate_key text);
        insert into "Odd %s "" table" values (1, 'it''s %', '1')"""
    sides = pair(start, """update "Odd %s "" table" set "select" = E'\\n' """)
    change = locate(*sides, 'public."Odd %s "" table"')
    assert change.rows == (RowChange({"a %b": "1"}, "changed", {"select": ("it's %", "\n")}),)


def test_without_before_digests_tell_columns(cluster: Cluster, pair: Callable[[str, str], Pair]) -> None:
    old, new = pair(USERS.format(count=30), "update users set name = 'x' where id = 3")
    digests = []
    for connection in (old, new):
        reader = StateReader(cluster, connection.info.dbname)
        digests.append(reader.read().tables["public.users"])
        reader.close()
    assert locate_without_before("public.users", *digests) == TableChange("public.users", 30, 30, ("name",))
