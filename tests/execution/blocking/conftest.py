"""A database with the schema of these tests on the oldest and the newest PostgreSQL at hand, and a held migration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.execution.blocking import AppQuery, Blocking
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.watch import Relation
from tests.execution.blocking.schema import ROWS, SCHEMA

Held = tuple[dict[int, Mode], dict[int, Relation]]
Hold = Callable[[str], AbstractContextManager[Held]]
MakeBlocking = Callable[..., Blocking]
Connection = psycopg.Connection[Any]

_KINDS = {"r": "table", "p": "partitioned table", "m": "materialized view", "i": "index", "S": "sequence", "v": "view"}


@pytest.fixture(params=["local", "embedded"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return found


@pytest.fixture
def connect(cluster: Cluster) -> Iterator[Callable[[], Connection]]:
    name = cluster.create_database("blocking")
    opened: list[Connection] = []

    def open_one() -> Connection:
        opened.append(cluster.connect(name))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()
    cluster.drop_database(name)


@pytest.fixture
def run(connect: Callable[[], Connection]) -> Callable[[str], list[tuple[Any, ...]]]:
    connection = connect()

    def execute(sql: str) -> list[tuple[Any, ...]]:
        cursor = connection.execute(sql.encode())
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else []

    return execute


@pytest.fixture
def shop(run: Callable[[str], object]) -> None:
    run(SCHEMA)
    run(ROWS)


@pytest.fixture
def make_blocking(connect: Callable[[], Connection]) -> Iterator[MakeBlocking]:
    made: list[Blocking] = []

    def make(*queries: AppQuery) -> Blocking:
        made.append(Blocking(connect, queries))
        return made[-1]

    yield make
    for blocking in made:
        blocking.close()


@pytest.fixture
def hold(connect: Callable[[], Connection]) -> Hold:
    """Run a statement of a migration and keep its transaction open for the block."""
    migration, observer = connect(), connect()

    @contextmanager
    def held(sql: str) -> Iterator[Held]:
        rows = observer.execute(
            "SELECT c.oid::int8, n.nspname || '.' || c.relname, c.relkind::text FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid >= 16384"
        ).fetchall()
        names = {oid: Relation(oid, name, _KINDS.get(kind, "index"), name) for oid, name, kind in rows}
        migration.execute("BEGIN")
        try:
            migration.execute(sql.encode())
            modes: dict[int, Mode] = {}
            for oid, mode in observer.execute(
                "SELECT relation::int8, mode FROM pg_locks WHERE pid = %s AND locktype = 'relation' AND relation >= 16384",
                (migration.info.backend_pid,),
            ):
                modes[oid] = max(Mode.of(mode), modes.get(oid, Mode.ACCESS_SHARE))
            yield modes, names
        finally:
            migration.execute("ROLLBACK")

    return held
