"""What cannot work is refused with the reason; nothing is left of the attempt."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from pytest_pgmigrate.engines import rundir, server_pair, template
from pytest_pgmigrate.engines.docker import ENGINE as DOCKER
from pytest_pgmigrate.engines.docker import endpoint_known
from pytest_pgmigrate.engines.external import ENGINE as EXTERNAL
from pytest_pgmigrate.engines.local import ENGINE as LOCAL
from pytest_pgmigrate.errors import EngineError, UsageError
from pytest_pgmigrate.model.cluster import Cluster, Want
from tests.engines.leftovers import dead_directories, until_none
from tests.fix_cluster import docker_image, dsn, own_pair, silent, usable


def run_directories(token: str) -> list[str]:
    """What one run has in memory or on disk: its directory and its lock file."""
    return [name for name in os.listdir(rundir._base()) if name.startswith("pgmigrate-") and token in name]


def test_settings_of_the_user_reach_both_servers() -> None:
    engine = own_pair()
    want = usable(engine, Want(settings={"max_connections": "30", "WORK_MEM": "7MB", "my.label": "it's"}))
    with closing(engine.start(want, silent)) as cluster:
        for replica, connections in ((False, "30"), (True, "100")):
            with cluster.connect("postgres", replica=replica) as connection:
                row = connection.execute(
                    "SELECT current_setting('max_connections'), current_setting('work_mem'), current_setting('my.label')"
                )
                assert row.fetchone() == (connections, "7MB", "it's")


def test_a_setting_that_the_server_refuses_is_shown_with_its_log() -> None:
    engine = own_pair()
    with pytest.raises(EngineError, match=r'unrecognized configuration parameter "no_such"'):
        engine.start(usable(engine, Want(settings={"no_such": "1"})), silent)
    with pytest.raises(UsageError, match="not a server setting"):
        engine.start(Want(settings={"a": "1\n"}), silent)
    # Another worker's test may leave one for a moment, until its next run clears it away.
    assert until_none(dead_directories) == []


def test_a_port_taken_meanwhile_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = own_pair()
    want = usable(engine, Want())
    real = server_pair._free_ports
    with socket.create_server(("127.0.0.1", 0)) as taken:
        pairs = [(taken.getsockname()[1], real()[0]), (real()[0], taken.getsockname()[1])]
        monkeypatch.setattr(server_pair, "_free_ports", lambda: pairs.pop() if pairs else real())
        with closing(engine.start(want, silent)) as cluster:
            assert pairs == []
            assert cluster.wait_for_replica() < 30


def test_a_cache_that_others_may_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGMIGRATE_CACHE_DIR", str(tmp_path))
    template.cache_directory().mkdir(parents=True)
    template.cache_directory().chmod(0o777)
    engine = own_pair()
    with pytest.raises(EngineError, match="only we may write to"):
        engine.start(usable(engine, Want()), silent)


def test_another_users_directory_is_not_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name says that it is ours; that it is a link does not let us follow it."""
    base = rundir._base()
    victim, link = base / "pgmigrate-test-kept", base / f"pgmigrate-{os.geteuid()}-0000000a"
    victim.mkdir()
    (victim / "file").touch()
    link.symlink_to(victim)
    try:
        LOCAL.sweep()
        assert (victim / "file").exists()
    finally:
        link.unlink()
        (victim / "file").unlink()
        victim.rmdir()


def test_closing_twice_is_fine_and_a_closed_cluster_makes_nothing() -> None:
    engine = own_pair()
    cluster = engine.start(usable(engine, Want()), silent)
    token = cluster.create_database("named").split("_")[1]
    assert run_directories(token)
    cluster.close()
    cluster.close()
    assert run_directories(token) == []
    with pytest.raises(EngineError, match="is closed"):
        cluster.create_database("late")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("postgresql://x:y@127.0.0.1:1/z", "Connection refused"),
        ("nonsense=1", "invalid connection option"),
        ("postgresql://[", "not a DSN|end of string"),
    ],
)
def test_a_dsn_that_does_not_work(given: str, said: str) -> None:
    answer = EXTERNAL.probe(Want(dsn=given))
    assert not answer.usable
    assert "\n" not in answer.reason
    with pytest.raises(EngineError, match=said):
        EXTERNAL.start(Want(dsn=given), silent)


def test_external_servers_are_what_they_are_said_to_be(any_cluster: Cluster) -> None:
    primary, replica = dsn(any_cluster), dsn(any_cluster, replica=True)
    with pytest.raises(EngineError, match="leads to a standby"):
        EXTERNAL.start(Want(dsn=replica), silent)
    with pytest.raises(EngineError, match="no standby"):
        EXTERNAL.start(Want(dsn=primary, replica_dsn=primary), silent)
    with pytest.raises(EngineError, match="PostgreSQL 14 was asked for"):
        EXTERNAL.start(Want(dsn=primary, major=14), silent)


def test_the_replica_of_another_cluster_is_refused(
    any_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGMIGRATE_CACHE_DIR", str(tmp_path))  # another template, another system_identifier
    engine = own_pair()
    with (
        closing(engine.start(Want(), silent)) as other,
        pytest.raises(EngineError, match="belongs to another cluster"),
    ):
        EXTERNAL.start(Want(dsn=dsn(any_cluster), replica_dsn=dsn(other, replica=True)), silent)


def test_an_ordinary_role_is_enough_and_what_it_cannot_do_is_said(any_cluster: Cluster) -> None:
    password = any_cluster.primary.password
    with any_cluster.connect("postgres") as connection:
        connection.execute(f"CREATE ROLE pgm_plain LOGIN PASSWORD '{password}'")
        connection.execute(f"CREATE ROLE pgm_creator LOGIN CREATEDB PASSWORD '{password}'")
    any_cluster.wait_for_replica()
    try:
        with pytest.raises(EngineError, match="role pgm_plain may not create databases"):
            EXTERNAL.start(Want(dsn=dsn(any_cluster, user="pgm_plain")), silent)
        want = Want(
            dsn=dsn(any_cluster, user="pgm_creator"),
            replica_dsn=dsn(any_cluster, replica=True, user="pgm_creator"),
            settings={"work_mem": "1MB"},
        )
        with closing(EXTERNAL.start(want, silent)) as cluster:
            assert cluster.capabilities == {"replica"}
            assert any("no superuser" in note for note in cluster.notes)
            assert any("work_mem" in note for note in cluster.notes)
            name = cluster.create_database("plain")
            clone = cluster.create_database("clone", template=name)
            cluster.wait_for_replica()
            cluster.drop_database(clone)
            with pytest.raises(EngineError, match="cannot pause replay"):
                cluster.pause_replay()
        with any_cluster.connect("postgres") as connection:
            assert connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None
    finally:
        with any_cluster.connect("postgres") as connection:
            connection.execute("DROP ROLE pgm_plain")
            connection.execute("DROP ROLE pgm_creator")


def test_without_a_replica_the_notes_say_so(any_cluster: Cluster) -> None:
    with closing(EXTERNAL.start(Want(dsn=dsn(any_cluster)), silent)) as cluster:
        assert cluster.replica is None
        assert "replica" not in cluster.capabilities
        assert any("no replica was given" in note for note in cluster.notes)
        with pytest.raises(EngineError, match="no replica"):
            cluster.wait_for_replica()


def test_no_docker_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    if not endpoint_known():
        assert "no Docker engine" in DOCKER.probe(Want()).reason
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    answer = DOCKER.probe(Want())
    assert not answer.usable
    assert "Connection refused" in answer.reason
    assert DOCKER.sweep() == 0
    with pytest.raises(EngineError, match="no Docker engine answers"):
        DOCKER.start(Want(), silent)


@pytest.mark.docker
def test_an_image_that_is_not_there_is_not_pulled_unasked() -> None:
    docker_image()
    missing = Want(image="pgmigrate-test/no-such-image:1")
    assert "docker pull pgmigrate-test/no-such-image:1" in DOCKER.probe(missing).reason
    with pytest.raises(EngineError, match="is not on this machine: docker pull"):
        DOCKER.start(missing, silent)


@pytest.mark.docker
def test_an_image_of_another_version_is_refused() -> None:
    image = docker_image()
    answer = DOCKER.probe(Want(image=image, major=11))
    assert not answer.usable
    assert "not 11" in answer.reason
    with pytest.raises(EngineError, match="not 11"):
        DOCKER.start(Want(image=image, major=11), silent)


@pytest.mark.docker
def test_a_container_whose_server_refuses_to_start_shows_its_log() -> None:
    with pytest.raises(EngineError, match=r'unrecognized configuration parameter "no_such"'):
        DOCKER.start(Want(image=docker_image(), settings={"no_such": "1"}), silent)
