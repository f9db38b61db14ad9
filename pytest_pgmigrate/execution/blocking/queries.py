"""The user's own query files: one query a file, as their application sends it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class AppQuery:
    """One query of the application. ``label`` is how messages call it, ``file`` where it was read."""

    label: str
    sql: str
    file: str
    problem: str = ""
    """Why its text could not be read; empty when it could."""


def read_queries(paths: Iterable[str | Path]) -> tuple[AppQuery, ...]:
    """The queries of ``.sql`` files, and of all ``.sql`` files directly in folders. Raises nothing: see ``problem``."""
    return tuple(_read(path) for given in paths for path in _files(Path(given)))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(file for file in path.glob("*.sql") if file.is_file())


def _read(path: Path) -> AppQuery:
    label = f"the query of {path.name}"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return AppQuery(label, "", str(path), "it is not UTF-8 text")
    except OSError as error:
        return AppQuery(label, "", str(path), error.strerror or type(error).__name__)
    if "\0" in text:
        return AppQuery(label, "", str(path), "it holds a NUL character")
    return AppQuery(label, text, str(path))
