"""The replica is asked while the primary runs the up once more; whatever it answers by then, the verdict is right."""

from __future__ import annotations

from contextlib import ExitStack, closing

import pytest

from pytest_pgmigrate.execution import examination
from pytest_pgmigrate.execution.examination import Examination
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.options import Settings
from tests.execution.conftest import MakeHistory

PAIRS = [(f"ALTER TABLE t ADD COLUMN c{n} int;", f"ALTER TABLE t DROP COLUMN c{n};") for n in range(3)]


def _equal(evidence: MigrationEvidence) -> bool:
    replica = evidence.replica
    return evidence.status == "examined" and replica.ran and replica.caught_up and not replica.difference


def test_replica_that_answers_in_time(cluster: Cluster, make_history: MakeHistory) -> None:
    history = make_history(("CREATE TABLE t (id int);", "DROP TABLE t;"), *PAIRS)
    with closing(Examination(cluster, history, Settings(rows=0), None)) as examined:
        assert all(_equal(examined.examine(migration)) for migration in history.migrations)


def test_replica_that_catches_up_late(
    cluster: Cluster, make_history: MakeHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replay stands still until the examination waits for it."""
    history = make_history(("CREATE TABLE t (id int);", "DROP TABLE t;"), *PAIRS)
    held = ExitStack()
    waited: list[str | None] = []
    wait = cluster.wait_for_replica

    def resume_and_wait(lsn: str | None = None, timeout: float = 30.0) -> float:
        held.close()
        waited.append(lsn)
        return wait(lsn, timeout)

    with closing(Examination(cluster, history, Settings(rows=0), None)) as examined, held:
        first, *others = history.migrations
        assert _equal(examined.examine(first))
        monkeypatch.setattr(cluster, "wait_for_replica", resume_and_wait)
        for migration in others:
            waited.clear()
            held.enter_context(cluster.pause_replay())
            assert _equal(examined.examine(migration))
            assert len(waited) == 1


def test_replica_that_does_not_catch_up(
    cluster: Cluster, make_history: MakeHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = make_history(("CREATE TABLE t (id int);", "DROP TABLE t;"), *PAIRS)
    with closing(Examination(cluster, history, Settings(rows=0), None)) as examined:
        first, second, third, _ = history.migrations
        assert _equal(examined.examine(first))
        with monkeypatch.context() as patch, cluster.pause_replay():
            patch.setattr(examination, "REPLICA_TIMEOUT", 0.2)
            evidence = examined.examine(second)
        assert evidence.status == "examined"
        assert not evidence.replica.caught_up
        assert "paused" in evidence.replica.reason
        # What it was not compared for then is compared now.
        assert _equal(examined.examine(third))


def test_replica_that_has_not_got_the_database_yet(
    cluster: Cluster, make_history: MakeHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work database is made anew after a down that leaves something, while replay stands still."""
    history = make_history(
        ("CREATE TABLE t (id int);", "DROP TABLE t;"),
        ("ALTER TABLE t ADD COLUMN a int, ADD COLUMN b int;", "ALTER TABLE t DROP COLUMN a;"),
    )
    with closing(Examination(cluster, history, Settings(rows=0), None)) as examined:
        first, second = history.migrations
        assert _equal(examined.examine(first))
        with monkeypatch.context() as patch, cluster.pause_replay():
            patch.setattr(examination, "REPLICA_TIMEOUT", 0.2)
            evidence = examined.examine(second)
        assert evidence.status == "examined"
        assert evidence.down is not None
        assert evidence.down.difference
        assert not evidence.replica.caught_up
