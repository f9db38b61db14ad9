"""The directory of one run: data, sockets and logs of its servers; and the sweep of those whose run is dead.

The lock file beside a directory is made and locked before it, and removed after it, so at no moment does a directory of
a live run look abandoned, and a dead one never keeps its lock: the kernel releases it with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pgmigrate.engines import reaper
from pytest_pgmigrate.engines.names import PREFIX
from pytest_pgmigrate.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_pgmigrate.engines.accounts import Account

ROOM = 1 << 30
"""Free bytes that /dev/shm must have: in a container it is 64 MB by default, and a pair needs 80 MB empty."""

_LONGEST = 103 - len("/.s.PGSQL.65535")
"""Longest directory for a socket: sun_path holds 108 bytes on Linux, 104 on macOS."""


class RunDirectory:
    """A private directory (0700) that belongs to the servers' account."""

    def __init__(self, token: str, account: Account) -> None:
        self.path = _base() / f"{PREFIX}-{os.geteuid()}-{token}"
        self._lock = take_lock(reaper.lock_file(self.path))
        try:
            self.path.mkdir(mode=0o700)
            account.own(self.path)
        except OSError as error:
            self.remove()
            raise EngineError(f"no directory for the servers could be made: {error}") from error

    def remove(self) -> None:
        """Remove the directory and its lock; may be called again."""
        if self._lock >= 0:
            reaper.remove(self.path)
            with contextlib.suppress(OSError):
                reaper.lock_file(self.path).unlink()
            os.close(self._lock)
            self._lock = -1


def take_lock(path: Path, *, wait: bool = True) -> int:
    """Create a lock file and hold its lock; returns the descriptor. A sweep may remove it in between: then again.

    Raises BlockingIOError when somebody else holds it and ``wait`` is False.
    """
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            os.close(descriptor)
            raise
        with contextlib.suppress(OSError):
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def sweep(account: Account) -> int:
    """Remove the directories of our own dead runs; returns how many. Those of other users are never touched."""
    return sum(_sweep_one(run, account) for base in _bases() for run in _runs(base))


def _runs(base: Path) -> Iterator[Path]:
    pattern = re.compile(rf"{PREFIX}-{os.geteuid()}-[0-9a-f]{{8}}(\.lock)?\Z")
    with contextlib.suppress(OSError):
        yield from {base / n.removesuffix(".lock") for n in os.listdir(base) if pattern.match(n)}


def _sweep_one(run: Path, account: Account) -> int:
    lock = reaper.lock_file(run)
    # Others may write to these directories too: trust nothing that we or our servers' account do not own.
    if not _owned(lock, os.geteuid(), stat.S_ISREG) and lock.exists():
        return 0
    if not _owned(run, account.uid, stat.S_ISDIR) and not _owned(run, os.geteuid(), stat.S_ISDIR) and run.exists():
        return 0
    if not lock.exists() and not run.exists():
        return 0  # it ended meanwhile
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not lock.exists() or os.stat(lock).st_ino != os.fstat(descriptor).st_ino:
            return 0
        if run.exists():
            reaper.stop_processes(run)
            reaper.remove(run)
        lock.unlink()
    except OSError:
        return 0  # locked: its run is alive, or somebody else is sweeping it
    finally:
        os.close(descriptor)
    return 1


def _owned(path: Path, uid: int, kind: object) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return status.st_uid == uid and callable(kind) and bool(kind(status.st_mode))


def _bases() -> list[Path]:
    """Where runs may lie: memory first, it spares the disk thousands of small files."""
    memory = [Path("/dev/shm")] if sys.platform == "linux" else []  # noqa: S108 - sticky, and our directory is 0700
    return list(dict.fromkeys([*memory, Path(tempfile.gettempdir()), Path("/tmp")]))  # noqa: S108


def _base() -> Path:
    tried = []
    for base in _bases():
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(base).free
            short = len(os.fsencode(base)) + len(f"/{PREFIX}-{os.geteuid()}-01234567") <= _LONGEST
            if free >= ROOM and short and os.access(base, os.W_OK | os.X_OK):
                return base
            tried.append(f"{base} ({free >> 20} MiB free)")
    raise EngineError(f"no directory with 1 GiB of free space for the servers: tried {', '.join(tried)}; set TMPDIR")
