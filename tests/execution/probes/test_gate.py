"""A concurrent index held at each of its internal commits, while other sessions prove what is and is not blocked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.execution.look import Look
from pytest_pgmigrate.execution.probes._base import Probe
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.migration import Direction
from tests.execution.probes.conftest import SCHEMA, migration, opened

FREE = (
    "SELECT count(*) FROM p",
    "SELECT * FROM p WHERE id = 1 FOR UPDATE",
    "INSERT INTO p VALUES (1000, 1, 't', 'w', 1, 1000)",
    "UPDATE p SET v = 7 WHERE id = 2",
    "DELETE FROM c WHERE id = 3",
)
BLOCKED = (
    "ALTER TABLE p ADD COLUMN late int",
    "CREATE INDEX late ON p (v)",
    "VACUUM p",
    "LOCK TABLE p IN SHARE MODE",
)


class Trying(Probe):
    """Runs statements of its own while the migration stands still."""

    name = "trying"

    def __init__(self, cluster: Cluster, database: str) -> None:
        options = "-c synchronous_commit=local -c lock_timeout=20"
        self._connect: Callable[[], psycopg.Connection[Any]] = lambda: cluster.connect(database, options=options)
        self.stops: list[tuple[Mode | None, dict[str, str]]] = []

    def at_stop(self, look: Look) -> None:
        held = [mode for oid, mode in look.locks.items() if (r := look.relations.get(oid)) and r.name == "public.p"]
        with self._connect() as connection:
            tried = {sql: _try(connection, sql) for sql in (*FREE, *BLOCKED)}
        self.stops.append((held[0] if held else None, tried))

    def after_statement(self, look: Look) -> Mapping[str, object]:
        return {"stood_still": len(self.stops)}


def _try(connection: psycopg.Connection[Any], sql: str) -> str:
    """``ran`` or the SQLSTATE; nothing is kept."""
    try:
        if sql.startswith("VACUUM"):
            connection.execute(sql)
        else:
            with connection.transaction(force_rollback=True):
                connection.execute(sql)
    except psycopg.Error as error:
        return str(error.sqlstate)
    return "ran"


@pytest.fixture(
    params=["embedded_cluster", "local_cluster", pytest.param("docker_cluster", marks=pytest.mark.docker)],
    ids=["embedded", "local", "docker"],
    scope="module",
)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue(request.param)
    return found


def test_readers_and_writers_go_on_at_every_stop(cluster: Cluster) -> None:
    name = cluster.create_database("schema")
    with cluster.connect(name) as connection:
        connection.execute(SCHEMA)
    try:
        with opened(cluster, name) as database:
            trying = Trying(cluster, database.name)
            database.probes = (*database.probes, trying)
            step = database.run(
                "up", migration("CREATE INDEX CONCURRENTLY p_t ON p (t);\n"), Direction.UP, watched=True
            )
    finally:
        cluster.drop_database(name)

    assert step.error is None, step.error
    # Before its last commit the index is valid and the table is let go.
    assert [mode for mode, _ in trying.stops] == [Mode.SHARE_UPDATE_EXCLUSIVE, Mode.SHARE_UPDATE_EXCLUSIVE, None]
    for mode, tried in trying.stops:
        assert {sql: tried[sql] for sql in FREE} == dict.fromkeys(FREE, "ran")
        assert {sql: tried[sql] for sql in BLOCKED} == dict.fromkeys(BLOCKED, "55P03" if mode else "ran")
    [seen] = step.watched
    assert seen.more["stood_still"] == 3
    assert seen.stops == 3
    assert [relation.name for relation in seen.built] == ["public.p_t"]
