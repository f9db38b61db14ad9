"""A reader on the replica and a migration: who waits, who is cancelled, and what the run says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.model.cluster import Cluster
from tests.acceptance.histories import Outcome, run

ORDERS = "CREATE TABLE orders (id bigint PRIMARY KEY, total integer NOT NULL);\nCREATE INDEX orders_total ON orders (total);\n"
TIMEOUT = "SET LOCAL lock_timeout = '5s';\n"
ALONE = "-- pgmigrate: no-transaction it cannot run in a transaction block\n"


# -- what PostgreSQL does, without any of our code ------------------------------------------------------------------------


@contextmanager
def standby_delay(cluster: Cluster, delay: str) -> Iterator[None]:
    """max_standby_streaming_delay on the replica, in force for every record replayed in the block."""
    with cluster.connect(cluster.maintenance_database, replica=True) as replica:
        for statement in (f"ALTER SYSTEM SET max_standby_streaming_delay = '{delay}'", "SELECT pg_reload_conf()"):
            replica.execute(statement.encode())
    try:
        _until(cluster, b"SHOW max_standby_streaming_delay", delay)
        yield
    finally:
        with cluster.connect(cluster.maintenance_database, replica=True) as replica:
            for statement in ("ALTER SYSTEM RESET max_standby_streaming_delay", "SELECT pg_reload_conf()"):
                replica.execute(statement.encode())
        _until(cluster, b"SHOW max_standby_streaming_delay", "30s")


def _until(cluster: Cluster, question: bytes, wanted: object) -> None:
    """Ask new sessions of the replica until one gives the answer."""
    for _ in range(10_000):
        with cluster.connect(cluster.maintenance_database, replica=True) as replica:
            if replica.execute(question).fetchall()[0][0] == wanted:
                return
    raise AssertionError(f"{question!r} never gave {wanted!r}")


def test_a_migration_cancels_a_reader_on_the_replica(any_cluster: Cluster) -> None:
    database = any_cluster.create_database("reader")
    with closing(any_cluster.connect(database)) as migration, standby_delay(any_cluster, "0"):
        migration.execute(ORDERS.encode())
        any_cluster.wait_for_replica()

        # A report on the replica has read the orders and is not done yet.
        report = any_cluster.connect(database, replica=True, autocommit=False)
        report.execute("SELECT count(*) FROM orders")

        # On the primary nobody is in the way: the migration is through in an instant, lock_timeout or not.
        migration.execute("SET lock_timeout = '1s'")
        migration.execute("ALTER TABLE orders ADD COLUMN note text")
        any_cluster.wait_for_replica()

        # On the replica the report has lost.
        with pytest.raises(psycopg.Error) as cancelled:
            report.execute("SELECT sum(total) FROM orders")
        assert cancelled.value.sqlstate == "40001"
        report.close()
    any_cluster.drop_database(database)


def test_without_a_limit_the_whole_replica_stands_still(any_cluster: Cluster) -> None:
    database = any_cluster.create_database("reader")
    with closing(any_cluster.connect(database)) as migration, standby_delay(any_cluster, "-1"):
        migration.execute(ORDERS.encode())
        any_cluster.wait_for_replica()
        report = any_cluster.connect(database, replica=True, autocommit=False)
        report.execute("SELECT count(*) FROM orders")

        migration.execute("ALTER TABLE orders ADD COLUMN note text")

        # Replay asks for the lock that the report keeps from it …
        waiting = b"SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock')"
        _until(any_cluster, waiting, True)
        report.execute("SELECT sum(total) FROM orders")
        # … and goes on when the report is done.
        report.rollback()
        any_cluster.wait_for_replica()
        report.execute("SELECT note FROM orders")
        report.close()
    any_cluster.drop_database(database)


# -- what the run says of it ----------------------------------------------------------------------------------------------

HISTORIES = {
    "instant": f"{TIMEOUT}ALTER TABLE orders ADD COLUMN note text;\n",
    "held": f"{TIMEOUT}ALTER TABLE orders ADD COLUMN note text;\nCREATE TABLE days (day integer);\n"
    "INSERT INTO days SELECT n FROM generate_series(1, 500) AS n;\n",
    "red": f"{TIMEOUT}ALTER TABLE orders ALTER COLUMN total TYPE bigint;\n",
    "concurrently": f"{ALONE}DROP INDEX CONCURRENTLY orders_total;\n",
    "vacuum": f"{ALONE}DELETE FROM orders WHERE id % 2 = 0;\nVACUUM orders;\n",
    "beside": "CREATE TABLE notes (id bigint PRIMARY KEY);\n",
}


@pytest.fixture(scope="module", params=["embedded", "local"])
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All histories in one run on each PostgreSQL, with all combinations of the replica's settings."""
    request.getfixturevalue(f"{request.param}_cluster")
    project = tmp_path_factory.mktemp("readers")
    folders = {}
    for name, up in HISTORIES.items():
        folder = folders[name] = project / "source" / name
        folder.mkdir(parents=True)
        (folder / "000001_orders.up.sql").write_text(ORDERS)
        (folder / "000002_change.up.sql").write_text(up)
    return run(project, folders, f"--pgmigrate-engine={request.param}", "--pgmigrate-replica-matrix")


def findings(outcome: Outcome, name: str) -> list[dict[str, Any]]:
    return [f for f in outcome.document["findings"] if f["code"] == "PMG503" and f["file"].startswith(f"{name}/")]


def seen(outcome: Outcome, name: str) -> dict[str, Any]:
    [entry] = [e for e in outcome.document["history"] if e["folder"] == name and e["name"] == "change"]
    found: dict[str, Any] = entry["replica"]
    return found


def test_an_instant_lock_is_information(outcome: Outcome) -> None:
    [finding] = findings(outcome, "instant")
    assert (finding["severity"], finding["line"]) == ("info", 2)
    assert "has read orders is in the way: replay waits for it, 30s at most, and then cancels it" in finding["message"]
    assert "new readers of orders wait until the migration commits" in finding["effect"]
    assert seen(outcome, "instant")["locks"] == [
        {"line": 2, "relations": ["public.orders"], "blocked": ["public.orders"], "until": "end of the transaction"}
    ]


def test_a_lock_held_while_rows_are_written_is_a_warning(outcome: Outcome) -> None:
    [finding] = findings(outcome, "held")
    assert finding["severity"] == "warning"
    assert "the lock is then held while line 4 writes 500 rows" in finding["message"]
    assert "move what line 4 writes into a migration of its own" in finding["fix"]


def test_what_the_locks_part_reports_is_not_reported_again(outcome: Outcome) -> None:
    [finding] = findings(outcome, "red")
    assert finding["severity"] == "info"
    assert finding["observed"]["reported_by"] == "PMG306"
    assert outcome.parts("red")["000002_change.up.sql"]["locks"] == "failed"
    assert outcome.parts("red")["000002_change.up.sql"]["replica"] == "passed"


def test_concurrently_does_not_spare_readers_on_the_replica(outcome: Outcome) -> None:
    [finding] = findings(outcome, "concurrently")
    assert finding["severity"] == "info"
    assert finding["observed"]["tables"] == ["public.orders"]
    [locks] = seen(outcome, "concurrently")["locks"]
    assert (locks["relations"], locks["until"]) == (["public.orders_total"], "internal commit")


def test_the_matrix_of_settings(outcome: Outcome) -> None:
    """hot_standby_feedback saves nobody from a lock, max_standby_streaming_delay decides who loses."""
    for name in ("instant", "held", "red", "concurrently"):
        found = {
            (r["max_standby_streaming_delay"], r["hot_standby_feedback"]): (r["outcome"], r["sqlstate"])
            for r in seen(outcome, name)["matrix"]
        }
        assert found == {
            ("0", False): ("cancelled", "40001"),
            ("0", True): ("cancelled", "40001"),
            ("-1", False): ("waited", ""),
            ("-1", True): ("waited", ""),
        }, name


def test_feedback_saves_readers_from_vacuum(outcome: Outcome) -> None:
    found = {
        (r["max_standby_streaming_delay"], r["hot_standby_feedback"]): r["outcome"]
        for r in seen(outcome, "vacuum")["matrix"]
    }
    assert found[("0", False)] == "cancelled"
    assert found[("-1", False)] == "waited"
    assert found[("0", True)] == found[("-1", True)] == "undisturbed"


def test_what_locks_nothing_meets_nobody(outcome: Outcome) -> None:
    assert findings(outcome, "beside") == []
    assert "readers" not in seen(outcome, "beside") or seen(outcome, "beside")["readers"] == []


def test_replay_is_measured_as_information(outcome: Outcome) -> None:
    for name in HISTORIES:
        replay = seen(outcome, name)["replay"]
        assert replay["wal_bytes"] > 0
        assert seen(outcome, name)["wal_bytes"] > 0


def test_no_traceback(outcome: Outcome) -> None:
    assert outcome.traceback == ""


def test_drills_can_be_turned_off(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "000001_orders.up.sql").write_text(ORDERS)
    (source / "000002_change.up.sql").write_text(HISTORIES["held"])
    (tmp_path / "project").mkdir()
    done = run(tmp_path / "project", {"db": source}, "--pgmigrate-engine=embedded", "--pgmigrate-no-drills")
    assert findings(done, "db") == []
