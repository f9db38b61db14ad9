"""A data directory in one file, and copies of it made as fast as the file system creates files.

A cluster is a thousand small files; ``cp`` spends most of its time on looking each one up twice. The data comes first,
then an index in JSON, then the index's CRC-32 and its length, eight bytes each.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import zlib
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_pgmigrate.engines.accounts import Account

_PAGE = 4096
_NUMBER = 8
_PIECE = 8 << 20
"""Bytes taken at once, so that a table of many gigabytes is never in our memory as a whole."""


class TooLarge(EngineError):
    """The file would have more bytes than it may have."""


class Packer:
    """Writes one packed file, which holds nothing valid before ``finish``. ``most``: bytes it may have at most."""

    def __init__(self, file: Path, most: int | None = None) -> None:
        # Nobody but us reads it, whatever the umask.
        self._out = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=_PIECE)
        self._most = most
        self._folders: list[str] = []
        self._entries: list[tuple[str, int, int, int, int]] = []

    def tree(self, directory: Path, keep: Callable[[str], bool] = lambda name: True) -> None:
        """Add the plain files below a directory, for which ``keep`` says yes to the relative name, and all folders.

        A file that vanishes meanwhile is left out; a backup of a running server allows that. Raises OSError, TooLarge.
        """
        for root, _, names in os.walk(directory):
            relative = os.path.relpath(root, directory)
            if relative != ".":
                self._folders.append(relative)
            for name in names:
                path = os.path.normpath(os.path.join(relative, name))
                if keep(path):
                    with contextlib.suppress(FileNotFoundError):
                        self.file(os.path.join(root, name), path)

    def file(self, path: str | Path, name: str) -> None:
        """Add one file. Raises OSError, TooLarge."""
        with open(path, "rb", buffering=0) as source:
            start, size, check, zeros = self._out.tell(), 0, 0, 0
            while piece := source.read(_PIECE):
                # The end of a WAL segment is all zeros; a hole reads the same and costs nothing.
                kept = min(-(-len(piece.rstrip(b"\0")) // _PAGE) * _PAGE, len(piece))
                size += len(piece)
                if kept:
                    for data in (*_zeros(zeros), piece[:kept]):
                        self._out.write(data)
                        check = zlib.crc32(data, check)
                    zeros = 0
                zeros += len(piece) - kept
            self._added(name, start, size, check)

    def data(self, name: str, content: bytes) -> None:
        """Add a file with this content. Raises OSError, TooLarge."""
        start = self._out.tell()
        self._out.write(content)
        self._added(name, start, len(content), zlib.crc32(content))

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the index, and ``facts`` (JSON values) with it. Raises OSError."""
        index = json.dumps([self._folders, self._entries, facts]).encode()
        self._out.write(index)
        self._out.write(zlib.crc32(index).to_bytes(_NUMBER, "big"))
        self._out.write(len(index).to_bytes(_NUMBER, "big"))
        self._out.flush()

    def close(self) -> None:
        """Close the file; never raises."""
        with contextlib.suppress(OSError):
            self._out.close()

    def _added(self, name: str, start: int, size: int, check: int) -> None:
        end = self._out.tell()
        self._entries.append((name, start, end - start, size, check))
        if self._most is not None and end > self._most:
            raise TooLarge(f"more than {self._most >> 20} MiB")


class Packed:
    """A packed file open for reading; it stays readable when somebody removes it meanwhile.

    Raises OSError, and ValueError for a file that is not a whole packed one.
    """

    def __init__(self, file: Path) -> None:
        with open(file, "rb") as source:
            self._map = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            length = int.from_bytes(self._map[-_NUMBER:], "big")
            end = len(self._map) - 2 * _NUMBER
            index = self._map[max(end - length, 0) : max(end, 0)]
            if zlib.crc32(index) != int.from_bytes(self._map[-2 * _NUMBER : -_NUMBER], "big") or len(index) != length:
                raise ValueError(f"{file} is damaged: its index is not what was written")
            folders, entries, facts = json.loads(index)
        except ValueError:
            self._map.close()
            raise
        self.file = file
        self._folders: list[str] = folders
        self._entries: list[tuple[str, int, int, int, int]] = entries
        self.facts: dict[str, Any] = facts

    def check(self) -> None:
        """Read all of it once. Raises ValueError when a file in it is not what was written."""
        with memoryview(self._map) as view:
            for name, start, kept, _, check in self._entries:
                with view[start : start + kept] as part:
                    if zlib.crc32(part) != check:
                        raise ValueError(f"{self.file} is damaged: {name} is not what was written")

    def unpack(self, target: Path, account: Account) -> None:
        """Write the tree to ``target``, as private files of ``account``. Raises OSError."""
        with memoryview(self._map) as view:
            _write(view, str(target), self._folders, self._entries, account)

    def close(self) -> None:
        """Close the file."""
        self._map.close()


def _zeros(size: int) -> Iterator[bytes]:
    """So many zeros, in pieces."""
    while size > 0:
        yield bytes(min(size, _PIECE))
        size -= _PIECE


def pack(directory: Path, file: Path) -> None:
    """Write a directory tree of plain files into one file. Raises OSError."""
    packer = Packer(file)
    try:
        packer.tree(directory)
        packer.finish({})
    finally:
        packer.close()


def _write(
    view: memoryview, target: str, folders: list[str], entries: list[tuple[str, int, int, int, int]], account: Account
) -> None:
    for folder in (target, *(f"{target}/{name}" for name in folders)):
        os.mkdir(folder, 0o700)
        if account.dropped:
            os.chown(folder, account.uid, account.gid)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    for name, start, kept, size, _ in entries:
        descriptor = os.open(f"{target}/{name}", flags, 0o600)
        try:
            written = 0
            while written < kept:
                with view[start + written : start + kept] as part:
                    written += os.write(descriptor, part)
            if size > kept:
                os.ftruncate(descriptor, size)
            if account.dropped:
                os.fchown(descriptor, account.uid, account.gid)
        finally:
            os.close(descriptor)
