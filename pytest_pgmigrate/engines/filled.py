"""Servers kept between runs with a history applied up to a version and its tables filled: packed data directories on disk.

An entry is named by a digest of all that its content follows from, written under another name and renamed when it is
whole, and read once before it is used. It is never changed: a run starts from a copy of its own. What was not used for
longest goes first when there is no room.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import time
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.engines.pack import Packed, Packer, TooLarge
from pytest_pgmigrate.engines.rundir import take_lock
from pytest_pgmigrate.engines.template import KEPT_DAYS, discard, lock_of, partial_of, ready_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

FORMAT = "1"
_NAME = re.compile(r"filled-[0-9a-f]{32}\Z")
_MIB = 1 << 20


class FilledCache:
    """The entry of one content on one build of PostgreSQL; ``most`` is how many bytes all entries may have together."""

    def __init__(self, content: str, build: str, settings: Mapping[str, str], most: int) -> None:
        parts = [FORMAT, content, build, sorted(settings.items()), platform.machine()]
        self._key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
        self._most = most

    @property
    def path(self) -> Path:
        """Where the entry lies, or would. Raises EngineError when the cache cannot be used."""
        return ready_cache() / f"filled-{self._key}"

    def open(self) -> Packed | None:
        """The entry, read and found whole; None when there is none. A damaged one is removed."""
        packed = None
        try:
            packed = Packed(self.path)
            packed.check()
            os.utime(self.path)
            return packed
        except (OSError, ValueError) as error:
            if packed is not None:
                packed.close()
            if isinstance(error, ValueError):
                self.remove()
            return None

    def remove(self) -> None:
        """Remove the entry: it is damaged, or no server starts from it."""
        discard(self.path)

    def save(self, write: Callable[[Packer], Mapping[str, Any]]) -> bool:
        """Have ``write`` fill the entry and return its facts; whether there is one now that was not there before.

        Nothing is saved when another run is just saving the same, when it would be larger than all may be together, or
        when the disk has no room: the run goes on without.
        """
        final = self.path
        partial, lock = partial_of(final), lock_of(final)
        try:
            descriptor = take_lock(lock, wait=False)
        except OSError:
            return False
        try:
            if final.exists():
                return False
            discard(partial)
            self._write(partial, write)
            _make_room(final.parent, self._most - partial.stat().st_size)
            os.rename(partial, final)
        except (OSError, TooLarge):
            return False
        finally:
            discard(partial)
            with contextlib.suppress(OSError):
                lock.unlink()
            os.close(descriptor)
        return True

    def _write(self, partial: Path, write: Callable[[Packer], Mapping[str, Any]]) -> None:
        # Half of what is free stays free.
        most = min(self._most, shutil.disk_usage(partial.parent).free // 2)
        packer = Packer(partial, most)
        try:
            packer.finish(write(packer))
        finally:
            packer.close()


def _make_room(cache: Path, room: int) -> None:
    """Remove what was not used for longest until the rest fits into ``room`` bytes, and what nobody used for a month."""
    found = []
    for entry in cache.iterdir():
        if _NAME.match(entry.name):
            with contextlib.suppress(OSError):
                status = entry.stat()
                found.append((status.st_mtime, status.st_size, entry))
    total = sum(size for _, size, _ in found)
    for used, size, entry in sorted(found):
        if total > room or time.time() - used > KEPT_DAYS * 86400:
            discard(entry)
            total -= size
