"""Looks for what dead runs left behind. Live ones, of whoever, do not count."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from pytest_pgmigrate.engines import reaper
from pytest_pgmigrate.engines.rundir import _bases, _runs

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "PGMIGRATE_TEST_VICTIM"
"""Environment variable of a victim, inherited by everything that it starts on this machine."""


def dead_directories() -> list[str]:
    """Run directories (and lock files) whose owner is dead."""
    found = []
    for run in [run for base in _bases() for run in _runs(base)]:
        try:
            descriptor = os.open(reaper.lock_file(run), os.O_RDWR)
        except OSError:
            if run.exists():
                found.append(str(run))
            continue
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if reaper.lock_file(run).exists():
                found.append(str(run))
        os.close(descriptor)
    return found


def marked_processes(mark: str) -> list[str]:
    """Processes that a victim started and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return found


def dead_containers() -> list[str]:
    """Containers of ours whose owner is dead, and any network or volume with a label of ours."""
    from pytest_pgmigrate.engines import _containers as containers

    connection = containers.client()
    with contextlib.closing(connection.client) as docker:
        every = docker.containers.list(all=True, filters={"label": containers.TOKEN}, ignore_removed=True)
        found = [c.name for c in every if containers._abandoned(c)]
        found += [n.name for n in docker.networks.list(filters={"label": containers.TOKEN})]
        found += [v.name for v in docker.volumes.list(filters={"label": containers.TOKEN})]
        return [str(name) for name in found]


def volumes() -> set[str]:
    """Every volume of the Docker engine."""
    from pytest_pgmigrate.engines import _containers as containers

    connection = containers.client()
    with contextlib.closing(connection.client) as docker:
        return {str(v.name) for v in docker.volumes.list()}


def databases(dsn: str, *, but: str) -> list[str]:
    """Databases with a name of ours on a server, without those of the run with the token ``but``."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'pgmigrate\\_%'").fetchall()
    return [row[0] for row in rows if not row[0].startswith(f"pgmigrate_{but}_")]


def until_none(look: Callable[[], list[str]], patience: float = 20.0) -> list[str]:
    """What is left once nothing is, or when patience has run out."""
    deadline = time.monotonic() + patience
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
