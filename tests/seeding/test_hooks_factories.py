"""Rows from functions of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal

import pytest

from pytest_pgmigrate import Factory, SeedContext, seeds
from pytest_pgmigrate.seeding import FakeSeeder
from pytest_pgmigrate.seeding.hooks import Wanted
from tests.seeding.conftest import Connection, Make
from tests.seeding.helpers import SHOP, column, count, violations

Function = Callable[[SeedContext], Iterator[dict[str, object]]]


@seeds("orders")
def orders(context: SeedContext) -> Iterator[dict[str, object]]:
    """Each user's orders add up."""
    users = [row[0] for row in context.connection.execute("SELECT id FROM users ORDER BY id LIMIT 3").fetchall()]
    while True:
        yield {"user_id": context.random.choice(users), "total": Decimal("12.50"), "status": "paid"}


def filled(connection: Connection, *factories: Factory, rows: int = 20) -> dict[str, tuple[str, str]]:
    """Fill with these factories; (status, reason) by table."""
    one = FakeSeeder(5, rows, Wanted(factories=factories))
    one.at("000007")
    return {r.table: (r.status, r.reason) for r in one.fill(connection, exclude_schemas=())}


def test_rows_of_a_factory(make: Make, server: str) -> None:
    connection = make(server, SHOP)
    reports = filled(connection, orders)
    assert {status for status, _ in reports.values()} == {"full"}
    assert set(column(connection, "orders", "total")) == {Decimal("12.50")}
    assert set(column(connection, "orders", "status")) == {"paid"}
    assert len(set(column(connection, "orders", "user_id"))) <= 3
    assert None not in column(connection, "orders", "created_at"), "what it leaves out is filled"
    assert count(connection, "order_items") == 20
    assert violations(connection) == []


def test_what_a_factory_is_told(make: Make, server: str) -> None:
    connection = make(server, "CREATE TABLE a (id serial PRIMARY KEY, tag text, name text)")
    told = []

    @seeds("public.a")
    def rows(context: SeedContext) -> Iterator[dict[str, object]]:
        told.append((context.version, context.table, context.rows, context.existing))
        for _ in range(context.rows):
            yield {"tag": context.faker.company(), "name": str(context.random.random())}

    one = FakeSeeder(5, 4, Wanted(factories=(rows,)))
    one.at("000007")
    one.fill(connection, exclude_schemas=())
    one.write_more(connection, exclude_schemas=(), rows=2)
    assert told == [("000007", "public.a", 4, 0), ("000007", "public.a", 2, 4)]
    assert count(connection, "a") == 6
    other = make(server, "CREATE TABLE a (id serial PRIMARY KEY, tag text, name text)")
    filled(other, rows, rows=4)
    four = "SELECT * FROM a WHERE id <= 4 ORDER BY id"
    assert other.execute(four).fetchall() == connection.execute(four).fetchall()


def test_values_of_python_become_values_of_sql(make: Make, server: str) -> None:
    connection = make(
        server,
        "CREATE TABLE a (id int PRIMARY KEY, b bytea, j jsonb, t text[], d date, n numeric, y bool, z text, m int[])",
    )

    @seeds("a")
    def rows(context: SeedContext) -> Iterator[dict[str, object]]:
        yield {
            "id": 900,
            "b": b"\x00\xff",
            "j": {"k": [1, None]},
            "t": ['x"y', "a,b", None, ""],
            "d": date(2024, 2, 29),
            "n": Decimal("1.50"),
            "y": False,
            "z": None,
            "m": [[1, 2], [3, 4]],
        }

    assert filled(connection, rows)["public.a"] == ("full", "")
    expected = (900, b"\x00\xff", {"k": [1, None]}, ['x"y', "a,b", None, ""], date(2024, 2, 29), Decimal("1.50"), False)
    assert connection.execute("SELECT * FROM a").fetchall() == [(*expected, None, [[1, 2], [3, 4]])]


def test_numbers_go_on_behind_the_factorys(make: Make, server: str) -> None:
    connection = make(server, "CREATE TABLE a (id serial PRIMARY KEY, tag text)")

    @seeds("a")
    def rows(context: SeedContext) -> Iterator[dict[str, object]]:
        yield {"id": 41}

    filled(connection, rows)
    assert connection.execute("INSERT INTO a (tag) VALUES ('x') RETURNING id").fetchone() == (42,)


def _raises(context: SeedContext) -> Iterator[dict[str, object]]:
    yield {"id": 1}
    raise LookupError("no price list")


def _sql_error(context: SeedContext) -> Iterator[dict[str, object]]:
    context.connection.execute("SELECT * FROM nowhere")
    yield {"id": 1}


def _swallowed(context: SeedContext) -> Iterator[dict[str, object]]:
    try:
        context.connection.execute("SELECT 1 / 0")
    except Exception:
        yield {"id": 1}


def _commits(context: SeedContext) -> Iterator[dict[str, object]]:
    context.connection.commit()
    yield {"id": 1}


def _no_dict(context: SeedContext) -> Iterator[dict[str, object]]:
    yield (1, 2)  # type: ignore[misc]


def _no_rows(context: SeedContext) -> Iterator[dict[str, object]]:
    yield from ()


def _nothing(context: SeedContext) -> Iterator[dict[str, object]]:
    return None  # type: ignore[return-value]


def _typo(context: SeedContext) -> Iterator[dict[str, object]]:
    yield {"idd": 1}


def _generated(context: SeedContext) -> Iterator[dict[str, object]]:
    yield {"twice": 1}


def _refused(context: SeedContext) -> Iterator[dict[str, object]]:
    yield {"id": -5}


def _no_number(context: SeedContext) -> Iterator[dict[str, object]]:
    yield {"n": "five"}


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_raises, "LookupError: no price list"),
        (_sql_error, '42P01 relation "nowhere" does not exist'),
        (_swallowed, "left its transaction aborted"),
        (_commits, "ProgrammingError"),
        (_no_dict, "yields tuple, not a dict"),
        (_no_rows, "its factory gave no row"),
        (_nothing, "TypeError"),
        (_typo, "gives 'idd', a column that public.a does not have"),
        (_generated, "gives 'twice', which the server generates"),
        (_refused, "the values given for id do not meet a_id_check"),
        (_no_number, "22P02"),
    ],
)
def test_what_goes_wrong_is_the_tables_reason(make: Make, server: str, function: Function, said: str) -> None:
    connection = make(
        server,
        "CREATE TABLE a (id int PRIMARY KEY CHECK (id > 0), n int, twice int GENERATED ALWAYS AS (id * 2) STORED);"
        "CREATE TABLE b (id int)",
    )
    reports = filled(connection, seeds("a")(function))
    assert reports["public.a"][0] == "empty"
    assert said in reports["public.a"][1]
    assert reports["public.b"] == ("full", "")


def test_the_place_of_the_function_is_named(make: Make, server: str) -> None:
    connection = make(server, "CREATE TABLE a (id int)")
    reason = filled(connection, seeds("a")(_raises))["public.a"][1]
    line = _raises.__code__.co_firstlineno
    assert reason.startswith(f'seeds("a") in test_hooks_factories.py:{line} failed')


def test_a_factory_for_no_table_is_said(make: Make, server: str) -> None:
    connection = make(server, "CREATE TABLE a (id int)")
    one = FakeSeeder(5, 2, Wanted(factories=(seeds("b")(_raises), seeds("x.y.z")(_raises))))
    one.at("1")
    one.fill(connection, exclude_schemas=())
    assert [name.rsplit(" ", 1)[1] for name in one.unknown()] == ["b", "'x.y.z'"]


def test_seeds_takes_the_name_of_a_table() -> None:
    with pytest.raises(TypeError, match="seeds takes the name of a table"):
        seeds(_raises)  # type: ignore[arg-type]
