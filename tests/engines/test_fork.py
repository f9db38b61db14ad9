"""A copy of the primary as a server of its own: what it holds, what a crash does to it, and that it touches nobody else."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

import psycopg
import pytest

from pytest_pgmigrate.errors import EngineError
from tests.engines import leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_pgmigrate.model.cluster import Cluster, Fork, Forks

ENGINES = [
    "embedded",
    "local",
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("docker_one", marks=pytest.mark.docker),
]
SCHEMA = """
CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i;
CREATE UNLOGGED TABLE u AS SELECT 1 AS i;
CREATE SEQUENCE s;
SELECT nextval('s') FROM generate_series(1, 5);
"""


@pytest.fixture(params=ENGINES)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    assert "forks" in found.capabilities
    return found


@pytest.fixture
def base(cluster: Cluster) -> Iterator[str]:
    """A database with rows of every durability."""
    name = cluster.create_database("base")
    with cluster.connect(name) as connection:
        connection.execute(SCHEMA)
    yield name
    cluster.drop_database(name)


@pytest.fixture
def fork(cluster: Cluster, base: str) -> Iterator[Fork]:
    with closing(cast("Forks", cluster).fork()) as made:
        yield made


def rows(server: Cluster, database: str, table: str = "t") -> int:
    with server.connect(database) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()[0][0])


def test_it_holds_what_the_primary_holds(cluster: Cluster, fork: Fork, base: str) -> None:
    assert (rows(fork, base), rows(fork, base, "u")) == (1000, 0)
    with fork.connect(base) as connection:
        assert connection.execute("SELECT last_value, pg_is_in_recovery() FROM s").fetchone() == (5, False)
    assert (fork.engine, fork.version, fork.replica) == (cluster.engine, cluster.version, None)
    assert cluster.primary.password not in repr(fork) + fork.logs("primary")


def test_what_is_written_there_stays_there(cluster: Cluster, fork: Fork, base: str) -> None:
    clone = fork.create_database("clone", template=base)
    with fork.connect(clone) as connection:
        connection.execute("DROP TABLE t")
    with fork.connect(base) as connection:
        connection.execute("TRUNCATE t")
    assert rows(cluster, base) == 1000
    with cluster.connect(cluster.maintenance_database) as connection:
        assert connection.execute("SELECT FROM pg_database WHERE datname = %s", (clone,)).fetchone() is None
    fork.drop_database(clone)
    with pytest.raises(EngineError, match="did not make it"):
        fork.drop_database("postgres")


def test_a_crash_keeps_what_was_committed_and_nothing_else(cluster: Cluster, fork: Fork, base: str) -> None:
    committed, half = fork.connect(base), fork.connect(base, autocommit=False)
    committed.execute("INSERT INTO t SELECT generate_series(1, 10)")
    half.execute("INSERT INTO t SELECT generate_series(1, 100)")
    for _ in range(3):
        fork.crash()
        with pytest.raises(psycopg.OperationalError):
            committed.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            fork.connect(base)
        # The pair goes on, replica included.
        assert rows(cluster, base) == 1000
        cluster.wait_for_replica()
        fork.restart()
        assert rows(fork, base) == 1010
        committed = fork.connect(base)
    assert "database system was not properly shut down" in fork.logs("primary")
    committed.close()
    half.close()


def test_closing_leaves_nothing_of_it(cluster: Cluster, base: str) -> None:
    for _ in range(2):
        with closing(cast("Forks", cluster).fork()) as fork:
            assert rows(fork, base) == 1000
        with pytest.raises(psycopg.OperationalError):
            fork.connect(base)
        fork.close()
    run = getattr(cluster, "_run", None)
    if run is not None:
        assert [path.name for path in Path(run.path).iterdir() if "fork" in path.name] == []
        assert leftovers.dead_directories() == []
    assert rows(cluster, base) == 1000


def test_a_server_that_is_not_ours_has_no_such_thing(external_cluster: Cluster) -> None:
    assert "forks" not in external_cluster.capabilities
    assert not hasattr(external_cluster, "fork")
