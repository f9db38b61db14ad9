"""The parts that engines are made of: names, settings, packed directories, owners, the search for binaries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from pytest_pgmigrate.engines import settings
from pytest_pgmigrate.engines.accounts import Account, environment
from pytest_pgmigrate.engines.binaries import Binaries, installed_binaries, pick
from pytest_pgmigrate.engines.names import database_name, new_token, token_of
from pytest_pgmigrate.engines.owners import Owner
from pytest_pgmigrate.engines.pack import Packed, pack
from pytest_pgmigrate.engines.server_pair import scram_secret
from pytest_pgmigrate.errors import EngineError, UsageError
from pytest_pgmigrate.model.cluster import Cluster

OURSELVES = Account(os.geteuid(), os.getegid(), dropped=False)


def test_names_carry_the_token_and_stay_short() -> None:
    token = new_token()
    for label in ("", "Ä", "a" * 100, "x-y.z", "1"):
        name = database_name(token, label)
        assert len(name.encode()) <= 63
        assert token_of(name) == token
    taken: set[str] = set()
    for _ in range(12):
        taken.add(database_name(token, "a" * 100, taken))
    assert len(taken) == 12
    assert all(len(name) <= 63 for name in taken)


@pytest.mark.parametrize(
    "name", ["postgres", "pgmigrate", "pgmigrate_x_y", "pgmigrate_0123456_x", "xpgmigrate_01234567_x"]
)
def test_names_of_others_have_no_token(name: str) -> None:
    assert token_of(name) is None


def test_settings_are_quoted() -> None:
    assert settings.as_file({"a": "it's", "b": "c\\d"}) == "a = 'it''s'\nb = 'c\\\\d'\n"


@pytest.mark.parametrize("bad", [{"a b": "1"}, {"": "1"}, {"a": "1\nfsync = on"}, {"a;b": "1"}])
def test_what_cannot_be_a_setting_is_refused(bad: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="not a server setting"):
        settings.checked(bad)


def test_a_standby_gets_what_it_needs_to_start() -> None:
    raised = settings.for_standby({"max_connections": "20", "max_worker_processes": "40", "work_mem": "1MB"})
    assert raised == {"max_connections": "100", "max_worker_processes": "40", "work_mem": "1MB"}


def test_packed_directories_come_out_as_they_went_in(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a" / "empty").mkdir(parents=True)
    contents = {
        "x": b"",
        "a/y": b"text",
        "a/zeros": bytes(100_000),
        "tail": b"1" + bytes(5000),
        "big": os.urandom(300_000),
    }
    for name, data in contents.items():
        (source / name).write_bytes(data)
    pack(source, tmp_path / "packed")
    targets = [tmp_path / "one", tmp_path / "two"]
    packed = Packed(tmp_path / "packed")
    packed.check()
    for target in targets:
        packed.unpack(target, OURSELVES)
        assert {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()} == contents
        assert (target / "a" / "empty").is_dir()
        assert all(p.stat().st_mode & 0o077 == 0 for p in [target, *target.rglob("*")])


def test_an_owner_is_known_from_its_labels() -> None:
    ours = Owner.current()
    assert Owner.from_labels(ours.labels()) == ours
    assert ours.alive() is True
    assert Owner(ours.machine, ours.space, ours.pid, "another time").alive() is False
    assert Owner(ours.machine, "another boot", ours.pid, ours.started).alive() is None
    assert Owner.from_labels({}).alive() is None


def test_an_owner_that_ended_is_dead_even_as_a_zombie() -> None:
    code = (
        "from pytest_pgmigrate.engines.owners import Owner as O; import json; print(json.dumps(O.current().labels()))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        import json

        assert process.stdout is not None
        labels = json.loads(process.stdout.read())
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert Owner.from_labels(labels).alive() is False


def test_pick_takes_the_first_of_the_wanted_version() -> None:
    found = [Binaries(Path("/a"), "a", (18, 1)), Binaries(Path("/b"), "b", (15, 2)), Binaries(Path("/c"), "c", (15, 1))]
    assert pick(found, None).source == "a"
    assert pick(found, 15).source == "b"
    with pytest.raises(EngineError, match=r"no PostgreSQL 16: found only PostgreSQL 18\.1 from a, "):
        pick(found, 16)
    with pytest.raises(EngineError, match="no PostgreSQL programs found"):
        pick([], None)


def test_a_chosen_bindir_that_holds_no_server_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGMIGRATE_BINDIR", str(tmp_path))
    with pytest.raises(EngineError, match=f"PGMIGRATE_BINDIR={tmp_path} does not hold"):
        next(installed_binaries())


def test_servers_get_a_neutral_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/x")
    monkeypatch.setenv("LANG", "xx_YY.UTF-8")
    monkeypatch.setenv("LC_NUMERIC", "de_DE")
    assert environment()["LC_ALL"] == "C"
    assert not {"PGDATA", "LANG", "LC_NUMERIC"} & set(environment())


def test_the_server_accepts_a_password_hashed_by_us(any_cluster: Cluster) -> None:
    with any_cluster.connect("postgres") as connection:
        connection.execute(f"CREATE ROLE pgmigrate_hash LOGIN PASSWORD '{scram_secret('söcret')}'")
        try:
            parameters = {**any_cluster.primary.parameters("postgres"), "user": "pgmigrate_hash"}
            psycopg.connect(**{**parameters, "password": "söcret"}).close()  # type: ignore[arg-type]
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(**{**parameters, "password": "other"}).close()  # type: ignore[arg-type]
        finally:
            connection.execute("DROP ROLE pgmigrate_hash")
