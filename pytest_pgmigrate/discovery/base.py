"""What a migration format is, and how versions are compared."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_pgmigrate.model.migration import History


@dataclass(frozen=True, slots=True)
class FileName:
    """What the name of a migration file says. ``direction`` is ``up`` or ``down``."""

    version: str
    name: str
    direction: str


class Format(Protocol):
    """One migration tool's way to lay out files. A new format is a module of this package with a ``FORMAT``."""

    name: str
    expects: str
    """The file names it looks for, for messages."""

    def detect(self, folder: Path) -> bool:
        """Whether the folder holds migrations of this format."""

    def load(self, folder: Path, root: Path) -> History:
        """Read the whole folder. Files that cannot be used carry defects; nothing is raised for them."""

    def parse_name(self, filename: str) -> FileName | None:
        """What a file name says, None when it follows no convention."""


def version_key(version: str) -> tuple[int, ...]:
    """Compare versions as numbers: ``000012``, ``12`` and ``v12`` are equal, ``v1.10`` comes after ``v1.9``."""
    return tuple(int(number) for number in re.findall(r"[0-9]+", version))


def relative_name(path: Path, root: Path) -> str:
    """The path as shown to the user: relative to rootdir, POSIX separators, always one printable line of UTF-8."""
    return printable(os.path.relpath(path, root).replace(os.sep, "/"))


def printable(name: str) -> str:
    """A file name without the bytes and control characters that would break a line of output: they are escaped."""
    shown = os.fsencode(name).decode("utf-8", "backslashreplace")
    if shown.isprintable():
        return shown
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
