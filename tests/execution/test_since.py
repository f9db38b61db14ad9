"""Tables that are said to be unchanged between two moments read the same at both, whatever was done."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from pytest_pgmigrate.execution.database import OUR_SCHEMAS, Database
from pytest_pgmigrate.execution.rows import Table, pinned, read_tables
from pytest_pgmigrate.execution.since import Since, changed
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.options import Settings
from tests.execution.states.schema import DROP_ROLES
from tests.execution.states.steps import START, Steps
from tests.execution.states.test_property import perform

Content = dict[str, dict[str, list[str | None]]]


@pytest.fixture(params=["local", "embedded"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    cluster: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    made = Database(cluster, cluster.create_database("since"), Settings(), fresh=True)
    yield made
    made.release()
    cluster.drop_database(made.name)
    with cluster.connect(cluster.maintenance_database) as connection:
        connection.execute(DROP_ROLES.encode())


def content(database: Database, tables: dict[str, Table]) -> Content:
    """Every column of every table as text, in the order of its rows; of one that cannot be read, the reason."""
    found: Content = {}
    for name, table in tables.items():
        columns = ", ".join(column.text("n") for column in table.columns.values())
        try:
            with pinned(database.control):
                query = f"SELECT {columns} FROM {table.source} n ORDER BY n.tableoid, n.ctid"
                rows = database.control.execute(query.encode()).fetchall()
            found[name] = {column: [row[at] for row in rows] for at, column in enumerate(table.columns)}
        except psycopg.Error as error:
            found[name] = {column: [str(error)] for column in table.columns}
    return found


def check(database: Database, seed: int, rounds: int) -> None:
    session = database.session
    for statement in ("set client_min_messages = error", *START.split(";\n")):
        session.execute(statement.encode())
    for number in range(8):
        session.execute(f"create table t{number} (c0 int primary key, c1 text, c2 bigserial, c3 text)".encode())
        session.execute(f"insert into t{number} (c0, c3) select i, 'x' from generate_series(1, 9) i".encode())
    steps = Steps(seed)
    same = other = 0
    with Since(database) as since:
        for number in range(rounds):
            before = read_tables(database.control, OUR_SCHEMAS)
            old = content(database, before)
            since.mark()
            done = [steps.next() for _ in range(3)]
            for step in done:
                perform(session, step)
            now = read_tables(database.control, OUR_SCHEMAS)
            suspects = changed(before, now, since.written())
            new = content(database, now)
            for name in old.keys() & new.keys() - suspects:
                for column in old[name].keys() & new[name].keys():
                    assert old[name][column] == new[name][column], (seed, number, name, column, done)
            same += len((old.keys() & new.keys()) - suspects)
            other += len(suspects)
    assert same > rounds
    assert other > rounds / 4


def test_what_is_skipped_is_the_same(database: Database) -> None:
    check(database, 1, 60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 206))
def test_what_is_skipped_is_the_same_for_long(database: Database, seed: int) -> None:
    check(database, seed, 300)


def test_one_row_written_and_nothing_else(database: Database) -> None:
    database.session.execute("create table a (id int primary key); create table b (id int primary key)")
    tables = read_tables(database.control, OUR_SCHEMAS)
    with Since(database) as since:
        since.mark()
        database.session.execute("insert into a values (1)")
        assert changed(tables, read_tables(database.control, OUR_SCHEMAS), since.written()) == {"public.a"}


def test_a_row_that_becomes_visible_without_being_written(database: Database) -> None:
    """A transaction that is open when the mark is set writes nothing when it commits."""
    database.session.execute("create table a (id int primary key)")
    tables = read_tables(database.control, OUR_SCHEMAS)
    with Since(database) as since:
        database.session.execute("begin")
        database.session.execute("insert into a values (1)")
        since.mark()
        database.session.execute("commit")
        assert "public.a" in changed(tables, read_tables(database.control, OUR_SCHEMAS), since.written())
