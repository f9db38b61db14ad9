"""Under xdist only the workers that have items of ours start servers, and no worker leaves a server or a lock behind."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.acceptance.conftest import GIVE_WAY, Project, assert_clean
from tests.acceptance.test_pytest_integration import PARTS

# The real engine, with a note of every start and of every end in a file of its own.
COUNTING = """
import os
from pytest_pgmigrate.engines.embedded import ENGINE

class Counting:
    name = ENGINE.name
    probe = staticmethod(ENGINE.probe)
    sweep = staticmethod(ENGINE.sweep)

    def start(self, want, progress):
        cluster = ENGINE.start(want, progress)
        worker = os.environ.get("PYTEST_XDIST_WORKER", "controller")
        close = cluster.close

        def noted_close():
            close()
            open(f"ended-{worker}-{cluster.token}", "w").close()

        cluster.close = noted_close
        open(f"started-{worker}-{cluster.token}", "w").close()
        return cluster

def pytest_pgmigrate_make_engine(settings):
    return Counting()
"""
DYING = """
import os

def pytest_runtest_teardown(item):
    if item.path.parts[-3] == "a" and item.name == "apply":
        os.kill(os.getpid(), 9)
"""
NICK = ("000002_nick", GIVE_WAY + "ALTER TABLE users ADD COLUMN nick text;\n", "ALTER TABLE users DROP COLUMN nick;\n")
WORKERS = ("-n", "2", "--dist", "loadgroup")


@pytest.fixture
def counted(project: Project) -> Project:
    """A project whose runs note in its folder which worker started and ended which cluster."""
    return project.write({"conftest.py": COUNTING, "test_own.py": "def test_own():\n    pass\n"})


def noted(project: Project, what: str) -> list[tuple[str, str]]:
    """(worker, token of the cluster) of each note."""
    return sorted(tuple(path.name.split("-")[1:]) for path in project.path.glob(f"{what}-*"))  # type: ignore[misc]


def held(paths: list[Path]) -> list[str]:
    """Lock files that somebody still holds, or waits for."""
    found = []
    for path in paths:
        with path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                found.append(str(path))
    return found


@pytest.mark.parametrize("folders", [1, 2, 3])
def test_one_cluster_for_each_worker_that_has_a_history(counted: Project, folders: int) -> None:
    for folder in "abc"[:folders]:
        counted.users(f"{folder}/migrations").then(*NICK, folder=f"{folder}/migrations")
    # A cache of its own: the workers that start at the same moment want to build the same template.
    cache = counted.path / "cache"
    outcome = counted.judge("-q", *WORKERS, environment={"PGMIGRATE_CACHE_DIR": str(cache)})

    assert_clean(outcome)
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    assert f"{2 * len(PARTS) * folders + 1} passed" in outcome.text
    started = noted(counted, "started")
    assert {worker for worker, _ in started} <= {"gw0", "gw1"}  # nothing in the controller
    assert len(started) == len({worker for worker, _ in started}) == min(folders, 2)
    assert noted(counted, "ended") == started
    assert counted.left() == []
    locks = list(cache.rglob("*.lock"))
    assert locks
    assert held(locks) == []
    assert list(cache.rglob("*.partial")) == []


def test_no_worker_starts_a_server_that_no_item_needs(counted: Project) -> None:
    outcome = counted.users().judge("-q", *WORKERS, "-k", "own or history")
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    assert "2 passed" in outcome.text
    assert noted(counted, "started") == []


def test_a_worker_that_dies_leaves_nothing(counted: Project) -> None:
    """The other worker goes on; what the dead one had started goes with it."""
    for folder in "ab":
        counted.users(f"{folder}/migrations")
    outcome = counted.write({"a/conftest.py": DYING}).judge("-q", *WORKERS, "--max-worker-restart=0")
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED, outcome.text
    assert "crashed" in outcome.text
    assert len(noted(counted, "started")) == 2
    assert len(noted(counted, "ended")) == 1
    assert counted.left() == []
