from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.model.cluster import Cluster

Connection = psycopg.Connection[Any]
Make = Callable[..., Connection]

SERVERS = ("embedded_cluster", "local_cluster")
"""Two servers of different major versions where both are installed."""


@pytest.fixture(params=SERVERS, ids=lambda name: name.partition("_")[0])
def server(request: pytest.FixtureRequest) -> str:
    """The name of the cluster to use; skips where there is none."""
    request.getfixturevalue(request.param)
    return str(request.param)


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a database holding a schema on one of the servers, and connects to it."""
    made: list[tuple[Cluster, str, Connection]] = []

    def database(server: str, *ddl: str) -> Connection:
        cluster: Cluster = request.getfixturevalue(server)
        name = cluster.create_database("seeding")
        connection = cluster.connect(name)
        made.append((cluster, name, connection))
        for text in ddl:
            connection.execute(text.encode())
        return connection

    yield database
    for cluster, name, connection in made:
        connection.close()
        cluster.drop_database(name)
