"""What every engine promises, tried on a real cluster of each."""

from __future__ import annotations

import ipaddress
import threading
import time
import uuid
from typing import TYPE_CHECKING

import psycopg
import pytest

from pytest_pgmigrate.errors import EngineError, ReplicaTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_pgmigrate.model.cluster import Cluster

ENGINES = [
    "embedded",
    "local",
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("docker_one", marks=pytest.mark.docker),
    "external",
]


@pytest.fixture(params=ENGINES)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return found


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    name = cluster.create_database("contract")
    yield name
    cluster.drop_database(name)


def names(cluster: Cluster) -> set[str]:
    with cluster.connect(cluster.maintenance_database) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}


def test_version_is_what_both_servers_say(cluster: Cluster) -> None:
    for replica in (False, True):
        with cluster.connect(cluster.maintenance_database, replica=replica) as connection:
            number = connection.execute("SELECT current_setting('server_version_num')::int").fetchone()
        assert number is not None
        assert cluster.version == (number[0] // 10000, number[0] % 10000)


def test_roles_of_the_two_servers(cluster: Cluster) -> None:
    assert cluster.capabilities >= {"replica", "superuser", "pause_replay"}
    for replica in (False, True):
        with cluster.connect(cluster.maintenance_database, replica=replica) as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (replica,)


def test_new_database_is_utf8_and_empty(cluster: Cluster, database: str) -> None:
    with cluster.connect(database) as connection:
        row = connection.execute(
            "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()"
        )
        assert row.fetchone() == ("UTF8",)
        assert connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchone() == (0,)
        assert connection.execute("SELECT 'ß€😀'").fetchone() == ("ß€😀",)


@pytest.mark.parametrize("label", ["", "Été 12", 'quote"s; DROP', "x" * 200, "ß" * 100])
def test_any_label_becomes_a_name(cluster: Cluster, label: str) -> None:
    first, second = cluster.create_database(label), cluster.create_database(label)
    try:
        assert first != second
        assert {first, second} <= names(cluster)
        assert all(len(name) <= 63 and name.startswith("pgmigrate_") for name in (first, second))
    finally:
        cluster.drop_database(first)
        cluster.drop_database(second)


def test_clone_holds_the_rows_and_is_its_own(cluster: Cluster, database: str) -> None:
    with cluster.connect(database) as connection:
        connection.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS i")
    clone = cluster.create_database("clone", template=database)
    try:
        with cluster.connect(clone) as connection:
            assert connection.execute("SELECT sum(i) FROM t").fetchone() == (500500,)
            connection.execute("DROP TABLE t")
        with cluster.connect(database) as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (1000,)
    finally:
        cluster.drop_database(clone)
    assert clone not in names(cluster)


def test_dropping_ends_sessions(cluster: Cluster) -> None:
    name = cluster.create_database("busy")
    with cluster.connect(name, autocommit=False) as connection:
        connection.execute("CREATE TABLE t (i int)")
        cluster.drop_database(name)
        assert name not in names(cluster)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_a_template_flag_does_not_keep_a_database(cluster: Cluster) -> None:
    name = cluster.create_database("flagged")
    with cluster.connect(cluster.maintenance_database) as connection:
        connection.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE true ALLOW_CONNECTIONS false')
    cluster.drop_database(name)
    assert name not in names(cluster)


def test_foreign_names_are_refused(cluster: Cluster, database: str) -> None:
    for name in ("postgres", "template1", "pgmigrate_00000000_other", f"{database}_x"):
        with pytest.raises(EngineError, match="did not make it"):
            cluster.drop_database(name)
        with pytest.raises(EngineError, match="did not make it"):
            cluster.create_database("x", template=name)
    assert {"postgres", "template1", database} <= names(cluster)


def test_a_written_row_is_on_the_replica_after_waiting(cluster: Cluster, database: str) -> None:
    with cluster.connect(database) as connection:
        connection.execute("CREATE TABLE t (i int)")
        for i in range(20):
            connection.execute("INSERT INTO t VALUES (%s)", (i,))
            cluster.wait_for_replica()
            with cluster.connect(database, replica=True) as reader:
                assert reader.execute("SELECT max(i) FROM t").fetchone() == (i,)


def test_what_is_rolled_back_reaches_the_replica_too(cluster: Cluster, database: str) -> None:
    """Nothing flushes an abort record by itself; a position taken after it must be reachable all the same."""
    with cluster.connect(database, autocommit=False) as connection:
        for _ in range(5):
            connection.execute("CREATE TABLE t (i int)")
            connection.rollback()
            assert cluster.wait_for_replica(timeout=10) < 10


def test_a_position_behind_a_segment_switch_is_reached(cluster: Cluster, database: str) -> None:
    """Behind a switch the insert position stands after a page header that is not written yet."""
    with cluster.connect(database) as connection:
        connection.execute("CREATE TABLE t (i int)")
        connection.execute("SELECT pg_switch_wal()")
    assert cluster.wait_for_replica(timeout=20) < 20


def test_replay_can_be_held_back(cluster: Cluster, database: str) -> None:
    with cluster.connect(database) as connection:
        connection.execute("CREATE TABLE t (i int)")
        cluster.wait_for_replica()
        with cluster.pause_replay():
            connection.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(ReplicaTimeout, match="replay is paused"):
                cluster.wait_for_replica(timeout=0.3)
            with cluster.connect(database, replica=True) as reader:
                assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
        cluster.wait_for_replica()
    with cluster.connect(database, replica=True) as reader:
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_replay_goes_on_after_an_error_inside_the_pause(cluster: Cluster) -> None:
    with pytest.raises(RuntimeError, match="inside"), cluster.pause_replay():
        raise RuntimeError("inside")
    cluster.wait_for_replica(timeout=10)


def test_connection_options(cluster: Cluster, database: str) -> None:
    with cluster.connect(database, autocommit=False, options="-c lock_timeout=123ms -c work_mem=77kB") as connection:
        assert connection.autocommit is False
        assert connection.execute("SHOW lock_timeout").fetchone() == ("123ms",)
        assert connection.execute("SHOW work_mem").fetchone() == ("77kB",)
        assert connection.execute("SHOW application_name").fetchone() == ("pytest-pgmigrate",)
        assert connection.execute("SHOW client_encoding").fetchone() == ("UTF8",)


def test_our_own_queries_survive_losing_their_session(cluster: Cluster, database: str) -> None:
    """A migration may end every session of the server."""
    cluster.wait_for_replica()
    others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
    query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
    for replica in (False, True):
        with cluster.connect(cluster.maintenance_database, replica=replica) as connection:
            connection.execute(query)
    assert cluster.wait_for_replica() < 30
    cluster.drop_database(cluster.create_database("after"))


def test_a_synchronous_standby_that_never_answers_does_not_hold_our_own_statements(cluster: Cluster) -> None:
    """Execution holds commits back with it while it watches."""
    with cluster.connect(cluster.maintenance_database) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            cluster.drop_database(cluster.create_database("gate"))
            assert cluster.wait_for_replica() < 30
        finally:
            connection.execute("SET synchronous_commit = local")
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")


def test_queries_from_several_threads(cluster: Cluster, database: str) -> None:
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            for _ in range(20):
                cluster.wait_for_replica()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_extensions(cluster: Cluster) -> None:
    assert "plpgsql" in cluster.extensions()


def test_the_password_is_shown_nowhere(cluster: Cluster) -> None:
    assert cluster.replica is not None
    assert len(cluster.primary.password) >= 24
    shown = (
        repr(cluster)
        + repr(cluster.primary)
        + repr(cluster.replica)
        + cluster.logs("primary")
        + cluster.logs("replica")
    )
    assert cluster.primary.password not in shown


def test_tools_can_connect_over_tcp_with_the_password_and_nobody_without(cluster: Cluster) -> None:
    parameters = cluster.primary.parameters(cluster.maintenance_database)
    psycopg.connect(**parameters).close()  # type: ignore[arg-type]
    for wrong in ("", "postgres"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**{**parameters, "password": wrong, "passfile": "/dev/null"}).close()  # type: ignore[arg-type]


def test_servers_are_reached_on_a_private_address(cluster: Cluster) -> None:
    for node in (cluster.primary, cluster.replica):
        assert node is not None
        assert ipaddress.ip_address(node.host).is_private
    if cluster.engine in ("embedded", "local"):
        for replica in (False, True):
            with cluster.connect(cluster.maintenance_database, replica=replica) as connection:
                assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)


def test_logs(cluster: Cluster) -> None:
    for role in ("primary", "replica"):
        word = f"no number {uuid.uuid4().hex}"
        with (
            cluster.connect(cluster.maintenance_database, replica=role == "replica") as connection,
            pytest.raises(psycopg.errors.InvalidTextRepresentation),
        ):
            connection.execute(f"SELECT '{word}'::int".encode())
        if "logs" not in cluster.capabilities:
            assert cluster.logs(role) == ""
            continue
        # What a container writes comes to its log a moment later.
        deadline = time.monotonic() + 20
        while word not in cluster.logs(role):
            assert time.monotonic() < deadline, cluster.logs(role)[-500:]


def test_the_environment_of_the_user_does_not_leak_in(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    if cluster.engine == "external":
        pytest.skip("the user's environment is meant for the user's server")
    for name, value in {"PGOPTIONS": "-c work_mem=1MB", "PGSSLMODE": "require", "PGHOSTADDR": "192.0.2.1"}.items():
        monkeypatch.setenv(name, value)
    with cluster.connect(cluster.maintenance_database) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("4MB",)


def test_waiting_is_cheap_when_there_is_nothing_to_wait_for(cluster: Cluster) -> None:
    position = cluster.lsn()
    cluster.wait_for_replica(position)
    connections = set()
    started = time.monotonic()
    for _ in range(10):
        cluster.wait_for_replica(position)
        with cluster.connect(cluster.maintenance_database, replica=True) as connection:
            query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pytest-pgmigrate' AND pid <> pg_backend_pid()"
            connections |= set(connection.execute(query).fetchall())
    assert len(connections) <= 2, f"a new connection for each wait ({time.monotonic() - started:.2f} s)"
