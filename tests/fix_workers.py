"""The whole suite runs on two xdist workers; a test marked ``alone`` runs while the other worker stands still."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

WORKERS = 2
"""Each has servers of its own, and the tests that start pytest start more: a third worker has been tried nowhere."""

OTHERWISE = ("usepdb", "trace", "collectonly", "showfixtures", "show_fixtures_per_test", "cacheshow", "pgmigrate")
"""Options of runs that show something, wait for somebody at the keyboard, or judge histories."""

FOLDER = "alone_folder"
"""Key of ``workerinput``: where the lock files of this run are."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """``pytest`` without a path takes two workers; with one, or with ``-n`` or ``-n0``, what was asked for."""
    option = config.option
    if hasattr(config, "workerinput") or not hasattr(option, "numprocesses"):
        return
    if _whole(config) and _cores() >= WORKERS:
        option.numprocesses = WORKERS
    if option.numprocesses and option.dist == "no" and not option.distload:
        # No servers and no run of a module's are made by both workers. In order: what takes long comes before what is quick.
        option.dist = "loadfile"
        option.loadscopereorder = False


def _whole(config: pytest.Config) -> bool:
    """Whether all tests were asked for, and nothing else."""
    option = config.option
    other = (
        any(getattr(option, name, None) for name in OTHERWISE) or option.dist != "no" or option.numprocesses is not None
    )
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not other


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder for the locks where no worker is, in the controller."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="alone-")
        config.add_cleanup(folder.cleanup)
        config.stash[_folder] = Path(folder.name)
    else:
        config.stash[_folder] = Path(config.workerinput[FOLDER])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist's hook: tell a worker where the locks are."""
    node.workerinput[FOLDER] = str(node.config.stash[_folder])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Setup and teardown count too: they start and end servers."""
    with among_others(item.config.stash[_folder], alone=item.get_closest_marker("alone") is not None):
        return (yield)


_folder = pytest.StashKey[Path]()


@contextmanager
def among_others(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the room with others, or alone. The door lets in one after the other, so that they cannot keep one out."""
    with ExitStack() as room:
        with ExitStack() as door:
            _lock(folder / "door", fcntl.LOCK_EX, door)
            _lock(folder / "room", fcntl.LOCK_EX if alone else fcntl.LOCK_SH, room)
        yield


def _lock(path: Path, kind: int, until: ExitStack) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    until.callback(os.close, descriptor)
    fcntl.flock(descriptor, kind)
