"""Databases on real servers of the oldest and the newest PostgreSQL at hand, and readers of their states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.execution.states import StateReader
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.state import State
from tests.execution.states.schema import DROP_ROLES

MakeReader = Callable[..., StateReader]
Pair = tuple[psycopg.Connection[Any], psycopg.Connection[Any]]


@pytest.fixture(params=["local", "embedded"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return found


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    name = cluster.create_database("states")
    yield name
    cluster.drop_database(name)
    # The database goes first: what it holds may depend on roles.
    with cluster.connect(cluster.maintenance_database) as connection:
        connection.execute(DROP_ROLES.encode())


@pytest.fixture
def session(cluster: Cluster, database: str) -> Iterator[psycopg.Connection[Any]]:
    with cluster.connect(database) as connection:
        connection.prepare_threshold = None
        yield connection


@pytest.fixture
def make_reader(cluster: Cluster, database: str) -> Iterator[MakeReader]:
    made: list[StateReader] = []

    def make(name: str = "", **options: Any) -> StateReader:
        made.append(StateReader(cluster, name or database, **options))
        return made[-1]

    yield make
    for reader in made:
        reader.close()


@pytest.fixture
def reader(make_reader: MakeReader) -> StateReader:
    return make_reader(exclude_schemas=("pgmigrate",))


@pytest.fixture
def fresh(make_reader: MakeReader) -> Callable[[], State]:
    """The state as a reader sees it that knows nothing yet."""
    one = make_reader(exclude_schemas=("pgmigrate",), use_wal=False)

    def read() -> State:
        one.close()
        return one.read()

    return read


@pytest.fixture
def pair(cluster: Cluster) -> Iterator[Callable[[str, str], Pair]]:
    """Two databases: one as the first statement makes it, its clone after the second."""
    names: list[str] = []
    connections: list[psycopg.Connection[Any]] = []

    def make(start: str, change: str) -> Pair:
        old = cluster.create_database("old")
        with cluster.connect(old) as connection:
            connection.execute(start.encode())
        new = cluster.create_database("new", template=old)
        names.extend((old, new))
        connections.extend((cluster.connect(old), cluster.connect(new)))
        connections[1].execute(change.encode())
        return connections[0], connections[1]

    yield make
    for connection in connections:
        connection.close()
    for name in names:
        cluster.drop_database(name)
