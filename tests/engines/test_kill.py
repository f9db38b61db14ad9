"""``kill -9`` at any moment leaves nothing: the watchdog cleans up at once, and the next run what even that missed.

The moments are drawn at random; ``PGMIGRATE_KILLS`` says how many per engine (``--run-slow``: 10), ``PGMIGRATE_KILL_SEED``
repeats a run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_pgmigrate.engines.external import ENGINE as EXTERNAL
from pytest_pgmigrate.model.cluster import Want
from tests.engines import leftovers
from tests.fix_cluster import docker_image, dsn, own_pair, silent, usable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_pgmigrate.model.cluster import Cluster

ROOT = Path(__file__).parents[2]
SEED = int(os.environ.get("PGMIGRATE_KILL_SEED") or random.randrange(1 << 32))
PYTEST_SPAN = 8.0
"""Seconds of a whole run over the repaired history, about."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")


@dataclass
class Victims:
    """Starts runs of one engine in processes of their own."""

    engine: str
    want: dict[str, object]
    span: float
    """Seconds within which a run is killed: a little more than a start takes."""

    check: Callable[[], list[str]]
    environment: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.engines.victim", self.engine, json.dumps(self.want), *words]
        environment = {**os.environ, **self.environment, leftovers.MARK: self.mark}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "starting"
        return process

    def start_ready(self, *words: str) -> tuple[subprocess.Popen[str], str]:
        process = self.start(*words)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready"), line
        return process, line.split()[1]

    def kill(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    def next_run(self) -> None:
        with self.start("once") as process:
            assert process.wait(120) == 0

    def left(self) -> list[str]:
        """Everything that is left of the dead ones."""
        return leftovers.dead_directories() + leftovers.marked_processes(self.mark) + self.check()


@pytest.fixture(params=["embedded", "local", "external", pytest.param("docker", marks=pytest.mark.docker)])
def victims(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Victims]:
    if request.param == "docker":
        volumes = leftovers.volumes
        image = docker_image()
        before = volumes()
        yield Victims("docker", {"image": image}, 3.0, lambda: leftovers.dead_containers() + sorted(volumes() - before))
    elif request.param == "external":
        engine = own_pair()
        with closing(engine.start(usable(engine, Want()), silent)) as server:
            want = Want(dsn=dsn(server), replica_dsn=dsn(server, replica=True))
            with closing(EXTERNAL.start(want, silent)) as live:
                kept = live.create_database("live")
                token = kept.split("_")[1]
                yield Victims(
                    "external",
                    {"dsn": want.dsn, "replica_dsn": want.replica_dsn},
                    0.6,
                    lambda: leftovers.databases(dsn(server), but=token),
                )
                with live.connect(kept) as connection:
                    assert connection.execute("SELECT current_database()").fetchone() == (kept,)
    else:
        # A cache of its own, so that templates are in the making at some of the moments.
        cache = tmp_path / "cache"
        yield Victims(
            str(request.param),
            {},
            1.2,
            lambda: [str(p) for p in cache.rglob("*.partial")],
            {"PGMIGRATE_CACHE_DIR": str(cache)},
        )


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many runs to kill: each whole run of tests kills others."""
    return int(os.environ.get("PGMIGRATE_KILLS") or (10 if request.config.getoption("--run-slow") else 2))


@pytest.fixture
def live(any_cluster: Cluster) -> Iterator[Cluster]:
    """A second run that must stay as it is."""
    name = any_cluster.create_database("live")
    with any_cluster.connect(name) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS i")
    yield any_cluster
    any_cluster.wait_for_replica()
    with any_cluster.connect(name, replica=True) as connection:
        assert connection.execute("SELECT i FROM t").fetchone() == (1,)
    any_cluster.drop_database(name)


def test_killed_at_any_moment(victims: Victims, live: Cluster, kills: int) -> None:
    print(f"PGMIGRATE_KILL_SEED={SEED}")
    chance = random.Random(f"{SEED} {victims.engine}")
    other, _ = victims.start_ready()
    try:
        for _ in range(kills):
            moment = chance.uniform(0, victims.span)
            process = victims.start()
            time.sleep(moment)
            victims.kill(process)
            victims.next_run()
            assert other.poll() is None, f"killed after {moment:.3f} s: another live run was ended"
    finally:
        victims.kill(other)
    victims.next_run()
    assert leftovers.until_none(victims.left) == []


def test_pytest_killed_at_any_moment(victims: Victims, live: Cluster, kills: int) -> None:
    """The main job itself, from its first import to its last item."""
    print(f"PGMIGRATE_KILL_SEED={SEED}")
    chance = random.Random(f"{SEED} {victims.engine} pytest")
    other = victims.start("pytest")
    try:
        for number in range(kills):
            process = victims.start("pytest")
            time.sleep(chance.uniform(0, PYTEST_SPAN))
            victims.kill(process)
            if number == 0:
                # The second run goes on beside the killed one and its clean-up, and ends green.
                victims.next_run()
                assert other.wait(180) == 0
    finally:
        victims.kill(other)
    victims.next_run()
    assert leftovers.until_none(victims.left) == []


def test_the_watchdog_cleans_up_without_a_next_run(victims: Victims) -> None:
    process, token = victims.start_ready()
    victims.kill(process)
    assert token
    assert leftovers.until_none(partial(remains, victims, token)) == []


def test_the_next_run_cleans_up_when_the_watchdog_died_too(victims: Victims) -> None:
    process, token = victims.start_ready()
    for pid in watchdogs(process.pid):
        os.kill(pid, signal.SIGKILL)
    victims.kill(process)
    victims.next_run()
    assert leftovers.until_none(lambda: victims.left() + mentions(victims, token)) == []


@pytest.mark.parametrize("watched", [True, False], ids=["watchdog", "next run"])
def test_a_copy_that_is_being_crashed_goes_with_its_run(
    victims: Victims, live: Cluster, watched: bool, kills: int
) -> None:
    """Killed between a crash and the start after it, while the copy is made, or at any other moment."""
    if victims.engine == "external":
        pytest.skip("a server that is not ours is never copied")
    print(f"PGMIGRATE_KILL_SEED={SEED}")
    chance = random.Random(f"{SEED} {victims.engine} forks")
    for _ in range(kills):
        process, token = victims.start_ready("forks")
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "forked"
        time.sleep(chance.uniform(0, victims.span))
        if not watched:
            for pid in watchdogs(process.pid):
                os.kill(pid, signal.SIGKILL)
        victims.kill(process)
        if not watched:
            victims.next_run()
        assert leftovers.until_none(partial(remains, victims, token)) == []


def test_an_ordinary_end_leaves_nothing(victims: Victims) -> None:
    victims.next_run()
    assert leftovers.until_none(victims.left, patience=5) == []


def test_sigterm_is_cleaned_up_after(victims: Victims) -> None:
    process, token = victims.start_ready()
    process.terminate()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    assert leftovers.until_none(lambda: mentions(victims, token)) == []


def remains(victims: Victims, token: str) -> list[str]:
    """What is left of one run, and of whatever any of these runs started."""
    return leftovers.marked_processes(victims.mark) + mentions(victims, token)


def mentions(victims: Victims, token: str) -> list[str]:
    """What is left that carries the token of one run."""
    return [line for line in victims.left() if token in line]


def watchdogs(parent: int) -> list[int]:
    """The watchdogs of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"pgmigrate-watchdog" in (entry / "cmdline").read_bytes():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == parent:
                    found.append(int(entry.name))
        except OSError:
            continue
    assert found, "no watchdog"
    return found
