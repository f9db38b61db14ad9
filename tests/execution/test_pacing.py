"""The runner waits for a replica that is behind, and says so when it waits in vain."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_pgmigrate.errors import PgmigrateError, ReplicaBehind, UsageError
from pytest_pgmigrate.execution.database import Database
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.finding import Part
from pytest_pgmigrate.model.migration import Direction, Migration
from pytest_pgmigrate.options import Settings, lag_limit
from pytest_pgmigrate.session import Extras, Run
from tests.execution.conftest import MakeHistory


@contextmanager
def runner(cluster: Cluster, lag: str | None, timeout: float) -> Iterator[Database]:
    settings = Settings(max_replica_lag=lag, replica_lag_timeout=timeout)
    database = Database(cluster, cluster.create_database("pace"), settings, fresh=True)
    try:
        yield database
    finally:
        database.release()
        cluster.drop_database(database.name)


@pytest.fixture
def migration(make_history: MakeHistory) -> Migration:
    text = "-- pgmigrate: no-transaction one after the other\nCREATE TABLE a (id int);\nCREATE TABLE b (id int);\n"
    return make_history((text, None)).migrations[0]


@pytest.mark.parametrize("lag", ["0B", "0s"])
def test_nothing_is_sent_while_the_replica_is_behind(cluster: Cluster, migration: Migration, lag: str) -> None:
    with runner(cluster, lag, 0.3) as database:
        database.control.execute("CREATE TABLE before (id int)")
        cluster.wait_for_replica()
        with cluster.pause_replay():
            database.control.execute("INSERT INTO before VALUES (1)")
            with pytest.raises(
                ReplicaBehind, match=r"step\.up\.sql:1:1 was not sent: .* pgmigrate_max_replica_lag"
            ) as seen:
                database.run("up", migration, Direction.UP, watched=False)
        assert lag in str(seen.value)
        assert database.control.execute("SELECT to_regclass('a') IS NULL").fetchall() == [(True,)]


def test_it_goes_on_as_soon_as_the_replica_has_caught_up(cluster: Cluster, migration: Migration) -> None:
    with runner(cluster, "0B", 60) as database:
        database.control.execute("CREATE TABLE before (id int)")
        cluster.wait_for_replica()
        steps = []
        worker = threading.Thread(
            target=lambda: steps.append(database.run("up", migration, Direction.UP, watched=False))
        )
        with cluster.pause_replay():
            database.control.execute("INSERT INTO before VALUES (1)")
            worker.start()
        worker.join()
        assert [step.error for step in steps] == [None]


def test_without_a_limit_nobody_waits(cluster: Cluster, migration: Migration) -> None:
    with runner(cluster, None, 0) as database:
        database.control.execute("CREATE TABLE before (id int)")
        cluster.wait_for_replica()
        with cluster.pause_replay():
            database.control.execute("INSERT INTO before VALUES (1)")
            assert database.run("up", migration, Direction.UP, watched=False).error is None


def test_a_large_limit_lets_a_small_lag_through(cluster: Cluster, migration: Migration) -> None:
    with runner(cluster, "16MB", 0) as database:
        database.control.execute("CREATE TABLE before (id int)")
        cluster.wait_for_replica()
        with cluster.pause_replay():
            database.control.execute("INSERT INTO before VALUES (1)")
            assert database.run("up", migration, Direction.UP, watched=True).error is None


def test_a_run_says_which_migration_was_held_back_and_why(
    cluster: Cluster, make_history: MakeHistory, tmp_path: Path
) -> None:
    make_history(("CREATE TABLE a (id int);\n", None))
    run = Run(Settings(max_replica_lag="0B", replica_lag_timeout=0.2), tmp_path, Extras())
    run._cluster = cluster
    run.discover([tmp_path / "migrations"])
    [history] = run.histories
    [migration] = history.history.migrations
    run.select(history, migration)
    with (
        cluster.pause_replay(),
        pytest.raises(PgmigrateError, match=r"000001_step\.up\.sql:1:1 was not sent: after 0.2 s"),
    ):
        run.result(history, migration, Part.APPLY, lambda text: None)
    assert run.result(history, migration, Part.ROLLBACK, lambda text: None).outcome == "skipped"


@pytest.mark.parametrize(("text", "limit"), [("10s", 10.0), ("500ms", 0.5), ("2min", 120.0)])
def test_seconds(text: str, limit: float) -> None:
    assert lag_limit(text) == (limit, float("inf"))


@pytest.mark.parametrize(("text", "limit"), [("16MB", 16 << 20), ("64 kB", 64 << 10), ("0B", 0)])
def test_bytes(text: str, limit: float) -> None:
    assert lag_limit(text) == (float("inf"), limit)


@pytest.mark.parametrize("text", ["10", "ten seconds", "-1s", "5 parsecs"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="takes seconds or bytes with a unit"):
        lag_limit(text)
