"""What is shown of differing rows: five, counts by column, and a query that gives them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.checks._rows import all_rows, keep, row_lines
from pytest_pgmigrate.execution.states import keep as keep_rows
from pytest_pgmigrate.execution.states import locate, locate_kept
from pytest_pgmigrate.model.state import TableChange
from tests.execution.states.conftest import Pair

USERS = (
    "create table users (id int primary key, name text, price numeric, updated_at timestamptz default '2001-01-01');"
    " insert into users select i, 'n' || i, 1.0 from generate_series(1, 30) i"
)
CHANGE = (
    "update users set name = 'x' where id <= 9; update users set price = 1.00 where id between 8 and 12;"
    " update users set updated_at = now(); delete from users where id = 30; insert into users values (99)"
)


def test_all_are_counted_and_five_are_shown(pair: Callable[[str, str], Pair]) -> None:
    change = locate(*pair(USERS, CHANGE), "public.users")
    assert len(change.rows) == 5
    assert change.key == ("id",)
    assert change.by_column == {"name": 9, "price": 5, "updated_at": 29}
    assert change.by_change == {"changed": 29, "missing": 1, "extra": 1}
    assert change.all_looked_at
    said = row_lines(change)
    assert said[5].startswith("in all 31 rows: ")
    assert "name differs in 9, price differs in 5, updated_at differs in 29" in said[5]


def test_a_row_is_not_shown_for_an_ignored_columns_sake(pair: Callable[[str, str], Pair]) -> None:
    change = locate(*pair(USERS, CHANGE), "public.users", ignored=lambda column: column in ("updated_at", "name"))
    assert change.by_column == {"name": 9, "price": 5, "updated_at": 29}
    assert change.by_change == {"changed": 5, "missing": 1, "extra": 1}
    assert all("price" in row.values for row in change.rows if row.change == "changed")


@pytest.mark.parametrize(
    ("start", "update", "table", "expected"),
    [
        (USERS, CHANGE, "public.users", {("changed", 29), ("missing", 1), ("extra", 1)}),
        (
            "create table t (a int, b text); insert into t values (1, 'x'), (1, 'x'), (2, null)",
            "delete from t where ctid = '(0,1)'; update t set b = '' where a = 2",
            "public.t",
            {("missing", 2), ("extra", 1)},
        ),
        (
            """create schema "S 1"; create table "S 1"."a "" b" ("Key 1" int, "user" text, "x'y" json,
                primary key ("Key 1", "user")); insert into "S 1"."a "" b" values (1, 'u', '{}'), (2, 'v', '[1]')""",
            """update "S 1"."a "" b" set "x'y" = '[1.0]' where "Key 1" = 2""",
            '"S 1"."a "" b"',
            {("changed", 1)},
        ),
        # Dropped and added again: other values under the old name.
        (
            "create table t (id int primary key, v text); insert into t select i, 'v' from generate_series(1, 9) i",
            "alter table t drop column v; alter table t add column v text",
            "public.t",
            {("changed", 9)},
        ),
    ],
)
def test_the_query_gives_every_differing_row(
    pair: Callable[[str, str], Pair], start: str, update: str, table: str, expected: set[tuple[str, int]]
) -> None:
    kept = keep(TableChange(table, 0, 0))
    old, new = pair(f"{start}; {kept}", update)
    change = locate(old, new, table)
    rows = new.execute(all_rows(change).encode()).fetchall()
    names = [column.name for column in new.execute(all_rows(change).encode()).description or ()]
    counts: dict[str, int] = {}
    for row in rows:
        kind = row[names.index("change")] if "change" in names else "changed"
        counts[kind] = counts.get(kind, 0) + 1
    assert set(counts.items()) == expected
    assert set(counts.items()) == {(kind, count) for kind, count in change.by_change.items() if count}


def _later(session: psycopg.Connection[Any], update: str, most: int = 1000) -> TableChange | None:
    kept = keep_rows(session, "public.users", most)
    session.execute(update.encode())
    change = TableChange("public.users", 30, 30, ("name",))
    return None if kept is None else locate_kept(kept, session, change)


def test_rows_that_were_kept_are_compared_by_key(session: psycopg.Connection[Any]) -> None:
    session.execute(USERS.encode())
    change = _later(session, "update users set name = 'y' where id in (3, 4); delete from users where id = 9")
    assert change is not None
    assert (change.old_count, change.new_count, change.columns) == (30, 29, ("name",))
    assert [(row.key["id"], row.change, row.values.get("name")) for row in change.rows] == [
        ("3", "changed", ("n3", "y")),
        ("4", "changed", ("n4", "y")),
        ("9", "missing", None),
    ]


def test_more_rows_than_asked_for_are_not_kept(session: psycopg.Connection[Any]) -> None:
    session.execute(USERS.encode())
    assert _later(session, "delete from users", 29) is None


def test_another_shape_is_not_compared(session: psycopg.Connection[Any]) -> None:
    session.execute(USERS.encode())
    change = _later(session, "alter table users drop column price")
    assert change == TableChange("public.users", 30, 30, ("name",))
