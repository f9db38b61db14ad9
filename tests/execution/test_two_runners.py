"""Two runners at once on one history and one database: one applies, the other waits or gives up, nothing is done twice.

Both are brought to the same place by a table that the test has locked, and let go together; on PostgreSQL 15 and 18.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.errors import ExecutionError
from pytest_pgmigrate.execution import ledger
from pytest_pgmigrate.execution.database import Database
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.migration import Direction, History
from pytest_pgmigrate.options import Settings
from tests.execution.conftest import MakeHistory

LONG, SHORT = 60.0, 0.2
"""Seconds for what ends by itself, and for what is meant to be given up."""

SETTINGS = Settings(lock_timeout=LONG, statement_timeout=LONG)
APPLIED = b"SELECT version FROM pgmigrate.schema_migrations WHERE direction = 'up' AND success ORDER BY id"
HISTORY = (
    ("CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL);\nINSERT INTO accounts VALUES (1, 100);", None),
    # Run twice it gives something else, and nothing in it would say so.
    ("UPDATE accounts SET balance = balance + 10;", None),
    ("ALTER TABLE accounts ADD COLUMN note text;", None),
)


@pytest.fixture(params=["embedded", "local"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return found


class OneRunner(threading.Thread):
    """A runner in a thread: the lock, what the ledger lacks, one migration after the other, each with its row there."""

    def __init__(self, cluster: Cluster, name: str, history: History, patience: float = LONG) -> None:
        super().__init__(daemon=True)
        self.database = Database(cluster, name, SETTINGS, fresh=False, patience=patience)
        self._history = history
        self.applied: list[str] = []
        self.stopped: Exception | None = None
        self.pids: tuple[int, ...] = ()

    def run(self) -> None:
        try:
            self._run()
        except (ExecutionError, psycopg.Error) as error:
            self.stopped = error
        finally:
            self.database.pause()

    def _run(self) -> None:
        control = self.database.control
        there = {version for (version,) in control.execute(APPLIED).fetchall()}
        self.pids = (control.info.backend_pid, self.database.session.info.backend_pid)
        for migration in self._history.migrations:
            if migration.version not in there:
                step = self.database.run("up", migration, Direction.UP, watched=False)
                self.database.write_ledger()
                if step.error is not None:
                    raise ExecutionError(f"{step.error.sqlstate} {step.error.message}")
                self.applied.append(migration.version)


class Stage:
    """A database at version 1, and a look at who waits for what in it."""

    def __init__(self, cluster: Cluster, history: History) -> None:
        self.cluster = cluster
        self._history = history
        self.name = cluster.create_database("runners")
        first = Database(cluster, self.name, SETTINGS, fresh=True)
        first.run("up", history.migrations[0], Direction.UP, watched=False)
        first.pause()
        self._eyes = cluster.connect(self.name)

    def runner(self, patience: float = LONG) -> OneRunner:
        made = OneRunner(self.cluster, self.name, self._history, patience)
        made.start()
        return made

    @contextmanager
    def gate(self) -> Iterator[Callable[[], None]]:
        """Nobody can write accounts until the block ends, or until it says so."""
        with closing(self.cluster.connect(self.name, autocommit=False)) as connection:
            connection.execute("LOCK TABLE accounts IN SHARE MODE")
            yield connection.rollback

    def until(self, *, at_gate: int = 0, at_lock: int = 0) -> None:
        """Come back when so many sessions wait for the table, and so many ask for the runners' lock and for nothing else."""
        deadline = time.monotonic() + LONG
        waiting = "SELECT FROM pg_locks WHERE locktype = 'relation' AND NOT granted AND pid = a.pid"
        held = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = a.pid"
        while True:
            [found] = self.rows(
                f"SELECT count(*) FILTER (WHERE EXISTS ({waiting})), "
                f"count(*) FILTER (WHERE query LIKE '%%pg_try_advisory_lock%%' AND NOT EXISTS ({held})) "
                "FROM pg_stat_activity a WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            if found == (at_gate, at_lock):
                return
            assert time.monotonic() < deadline, found

    def terminate(self, pids: tuple[int, ...]) -> None:
        assert pids
        for pid in pids:
            self.rows(f"SELECT pg_terminate_backend({pid}, 60000)")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._eyes.execute(query.encode()).fetchall()

    @property
    def balance(self) -> int:
        [(balance,)] = self.rows("SELECT balance FROM accounts")
        return int(balance)

    @property
    def ledger(self) -> list[tuple[str, bool]]:
        return self.rows("SELECT version, success FROM pgmigrate.schema_migrations ORDER BY id")

    def close(self) -> None:
        self._eyes.close()
        self.cluster.drop_database(self.name)


@pytest.fixture
def stage(cluster: Cluster, make_history: MakeHistory) -> Iterator[Stage]:
    with closing(Stage(cluster, make_history(*HISTORY))) as made:
        yield made


def ended(*runners: OneRunner) -> None:
    for runner in runners:
        runner.join(LONG)
        assert not runner.is_alive()


EVERYTHING = [("000001", True), ("000002", True), ("000003", True)]


def test_the_second_waits_and_has_nothing_left_to_do(stage: Stage) -> None:
    with stage.gate():
        first = stage.runner()
        stage.until(at_gate=1)
        second = stage.runner()
        stage.until(at_gate=1, at_lock=1)
    ended(first, second)
    assert (first.stopped, second.stopped) == (None, None)
    assert (first.applied, second.applied) == (["000002", "000003"], [])
    assert (stage.balance, stage.ledger) == (110, EVERYTHING)


def test_the_second_gives_up_within_its_time_limit(stage: Stage) -> None:
    with stage.gate():
        first = stage.runner()
        stage.until(at_gate=1)
        second = stage.runner(SHORT)
        ended(second)  # the first stands at the gate all the while
        assert isinstance(second.stopped, ExecutionError)
        assert f"another runner holds the advisory lock in database {stage.name}" in str(second.stopped)
        # Asked again it is refused again: nothing of the first refusal lets it in.
        with pytest.raises(ExecutionError, match="another runner"):
            _ = second.database.control
        assert first.is_alive()
    ended(first)
    assert (first.applied, second.applied) == (["000002", "000003"], [])
    assert (stage.balance, stage.ledger) == (110, EVERYTHING)


def test_without_the_lock_the_same_is_done_twice(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "LOCK", "SELECT true")
    with stage.gate():
        runners = [stage.runner(), stage.runner()]
        stage.until(at_gate=2)
    ended(*runners)
    # Both have written, neither has noticed; what cannot be done twice then fails one of them.
    assert stage.balance == 120
    assert [version for version, success in stage.ledger if success].count("000002") == 2
    [failed] = [runner for runner in runners if runner.stopped is not None]
    assert str(failed.stopped).startswith("42701 ")


def test_the_lock_of_a_runner_that_dies_is_free(stage: Stage) -> None:
    with stage.gate():
        first = stage.runner()
        stage.until(at_gate=1)
        second = stage.runner()
        stage.until(at_gate=1, at_lock=1)
        stage.terminate(first.pids)
        ended(first)
        assert isinstance(first.stopped, psycopg.OperationalError)
        stage.until(at_gate=1)  # the second by now
    ended(second)
    assert (first.applied, second.applied, second.stopped) == ([], ["000002", "000003"], None)
    assert (stage.balance, stage.ledger) == (110, EVERYTHING)


def test_a_runner_that_waits_stands_in_nobodys_way(stage: Stage) -> None:
    """CREATE INDEX CONCURRENTLY waits for every snapshot that is older than it, whoever holds it."""
    first = Database(stage.cluster, stage.name, SETTINGS, fresh=False)
    _ = first.control
    second = stage.runner()
    stage.until(at_lock=1)
    first.session.execute(f"SET lock_timeout = {round(SHORT * 1000)}")
    for number in range(5):
        first.session.execute(f"CREATE INDEX CONCURRENTLY i{number} ON accounts (balance)".encode())
    first.pause()
    ended(second)
    assert second.applied == ["000002", "000003"]
