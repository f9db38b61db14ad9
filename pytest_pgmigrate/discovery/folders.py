"""Finds folders of migrations in the usual places, and reads a folder that the user names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pytest_pgmigrate.discovery.base import Format
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.migration import History
from pytest_pgmigrate.registry import load_formats

MAX_DEPTH = 4
"""How far below rootdir a folder named ``migrations`` may lie: ``backend/resources/db/migrations``."""

MAX_FOLDERS = 5000
_NAMES = ("migrations", "migrate")
_SKIPPED = {
    "node_modules", "vendor", "third_party", "venv", "env", "site-packages", "build", "dist", "target",
    "__pycache__", "test", "tests", "testdata", "fixtures", "examples",
}  # fmt: skip
_OTHER_DATABASES = {
    "sqlite", "sqlite3", "mysql", "mariadb", "mssql", "sqlserver", "oracle", "clickhouse", "cockroach", "cockroachdb",
    "spanner", "cassandra", "mongodb", "snowflake", "bigquery", "duckdb",
}  # fmt: skip


def find_folders(root: Path, formats: Iterable[Format] | None = None) -> list[Path]:
    """Folders under root that hold migrations of a known format, sorted.

    Looked at: folders named ``migrations`` or ``migrate`` down to four levels deep (``migrations``, ``db/migrations``,
    ``backend/db/migrations``) and the folders right in them (``migrations/postgres``). Passed over: hidden folders,
    dependencies, virtual environments, tests and their fixtures, other databases' folders, symbolic links.
    """
    known = _known(formats)
    return sorted(folder for folder in _candidates(root) if any(f.detect(folder) for f in known))


def _known(formats: Iterable[Format] | None) -> list[Format]:
    return list(load_formats().values() if formats is None else formats)


def _candidates(root: Path) -> Iterator[Path]:
    level, seen = [root], 0
    for depth in range(MAX_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            if folder.name.lower() in _NAMES and depth:
                yield folder
                yield from _children(folder)
            elif depth < MAX_DEPTH and seen < MAX_FOLDERS:
                children = _children(folder)
                seen += len(children)
                below += children
        level = below


def _children(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if _worth(folder, name)]


def _worth(folder: Path, name: str) -> bool:
    lower = name.lower()
    if name.startswith(".") or lower in _SKIPPED or lower in _OTHER_DATABASES:
        return False
    return not (folder / name / "pyvenv.cfg").exists()


def load_history(folder: Path, root: Path, formats: Iterable[Format] | None = None) -> History:
    """Read a folder with the first format that knows its files.

    Raises UsageError when it does not exist, is no folder, or holds no file of a known format.
    """
    known = _known(formats)
    folder = Path(os.path.abspath(Path(root) / folder))
    shown = os.path.relpath(folder, root)
    if not folder.exists():
        raise UsageError(f"the folder {shown} does not exist (looked for {folder})")
    if not folder.is_dir():
        raise UsageError(f"{shown} is a file: give the folder of migrations that it lies in")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UsageError(f"the folder {shown} cannot be read: permission denied")
    for known_format in known:
        if known_format.detect(folder):
            return known_format.load(folder, root)
    raise UsageError(_no_format(folder, shown, known))


def _no_format(folder: Path, shown: str, known: list[Format]) -> str:
    wanted = "; ".join(f"{getattr(f, 'expects', 'files')} ({f.name})" for f in known)
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    held = f"it holds {', '.join(names[:5])}{', …' if len(names) > 5 else ''}" if names else "it is empty"
    nested = [str(Path(shown) / name) for name in names if any(f.detect(folder / name) for f in known)]
    hint = f". Did you mean {' or '.join(nested[:3])}?" if nested else ""
    return f"{shown} holds no migrations of a known format: {held}; looked for: {wanted}{hint}"


def judge_only(history: History, changed: Iterable[Path]) -> History:
    """The history with only those migrations to be judged whose up or down is among the changed files.

    A file that was deleted counts for the migration it belonged to by name.
    """
    paths = {_real(str(path)) for path in changed} | {os.path.realpath(path) for path in changed}

    def touched(path: str) -> bool:
        return _real(path) in paths or os.path.realpath(path) in paths

    folder = os.path.realpath(history.path)
    gone = [os.path.basename(p) for p in paths if os.path.dirname(p) == folder and not os.path.lexists(p)]
    migrations = tuple(
        replace(
            m,
            judged=any(touched(s.path) for s in (m.up, m.down) if s is not None)
            or any(name.startswith(f"{m.key}.") for name in gone),
        )
        for m in history.migrations
    )
    files = tuple(replace(entry, judged=touched(entry.path)) for entry in history.files)
    return replace(history, migrations=migrations, files=files)


def _real(path: str) -> str:
    """The path with its folders' symbolic links followed, its own not: what git lists for a linked file."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)
