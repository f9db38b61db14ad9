"""A data directory in one file, and copies of it made as fast as the file system creates files.

A cluster is a thousand small files; ``cp`` spends most of its time on looking each one up twice. The data comes first,
then an index in JSON, then the index's length in eight bytes.
"""

from __future__ import annotations

import json
import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_pgmigrate.engines.accounts import Account

_PAGE = 4096
_LENGTH = 8


def pack(directory: Path, file: Path) -> None:
    """Write a directory tree of plain files into one file. Raises OSError."""
    folders: list[str] = []
    entries: list[tuple[str, int, int, int]] = []
    with open(file, "wb") as out:
        for root, _, names in os.walk(directory):
            relative = os.path.relpath(root, directory)
            if relative != ".":
                folders.append(relative)
            for name in names:
                with open(os.path.join(root, name), "rb") as source:
                    data = source.read()
                # The end of a WAL segment is all zeros; a hole reads the same and costs nothing.
                kept = -(-len(data.rstrip(b"\0")) // _PAGE) * _PAGE
                kept = min(kept, len(data))
                entries.append((os.path.normpath(os.path.join(relative, name)), out.tell(), kept, len(data)))
                out.write(data[:kept])
        index = json.dumps([folders, entries]).encode()
        out.write(index)
        out.write(len(index).to_bytes(_LENGTH, "big"))


def unpack(file: Path, target: Path, account: Account) -> None:
    """Write the tree to ``target``, as private files of ``account``. Raises OSError, and ValueError for no such file."""
    with open(file, "rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        length = int.from_bytes(data[-_LENGTH:], "big")
        folders, entries = json.loads(data[-_LENGTH - length : -_LENGTH])
        with memoryview(data) as view:
            _write(view, str(target), folders, entries, account)


def _write(
    view: memoryview, target: str, folders: list[str], entries: list[tuple[str, int, int, int]], account: Account
) -> None:
    for folder in (target, *(f"{target}/{name}" for name in folders)):
        os.mkdir(folder, 0o700)
        if account.dropped:
            os.chown(folder, account.uid, account.gid)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    for name, start, kept, size in entries:
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
