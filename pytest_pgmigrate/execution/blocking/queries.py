"""The user's own query files: one query a file, as their application sends it."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SENT_BY_APPLICATIONS = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES)\b", re.IGNORECASE)
_CATALOG = re.compile(r"\b(?:pg_catalog\.|information_schema\.|pg_stat_|pg_class\b|pg_type\b)", re.IGNORECASE)
_ENDS_SESSIONS = re.compile(r"\bpg_(?:terminate|cancel)_backend\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AppQuery:
    """One query of the application. ``label`` is how messages call it, ``file`` where it was read."""

    label: str
    sql: str
    file: str
    problem: str = ""
    """Why its text could not be read; empty when it could."""

    line: int = 1
    """The line of the file in which it begins."""


def read_queries(paths: Iterable[str | Path]) -> tuple[AppQuery, ...]:
    """The queries of ``.sql`` and ``.csv`` files, and of all those directly in folders. Raises nothing: see ``problem``.

    A CSV file has a column ``query``, as ``COPY (SELECT query FROM pg_stat_statements) TO STDOUT (FORMAT csv, HEADER)``
    writes it: https://www.postgresql.org/docs/current/pgstatstatements.html
    """
    return tuple(query for given in paths for path in _files(Path(given)) for query in _queries(path))


def sent_by_application(text: str) -> bool:
    """Whether a captured statement is a query of an application's: no DDL, no question about the catalogs."""
    return _SENT_BY_APPLICATIONS.match(text) is not None and _CATALOG.search(text) is None


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = [*path.glob("*.sql"), *path.glob("*.csv")]
    yield from sorted(file for file in found if file.is_file())


def _queries(path: Path) -> Iterator[AppQuery]:
    whole = _read(path)
    if path.suffix.lower() != ".csv" or whole.problem:
        yield whole
        return
    reader = csv.reader(io.StringIO(whole.sql, newline=""))
    header = [name.strip().lower() for name in next(reader, [])]
    if "query" not in header:
        yield replace(whole, problem="its first line names no column query")
        return
    column, line = header.index("query"), reader.line_num + 1
    for row in reader:
        text = row[column] if column < len(row) else ""
        # The view counts whatever was sent: BEGIN, SET and DDL too, and what a driver asks of the catalogs.
        if sent_by_application(text):
            label = f"the query of {path.name}, line {line}"
            yield AppQuery(label, text, whole.file, _problem(text), line)
        line = reader.line_num + 1


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
    return AppQuery(label, text, str(path), _problem(text) if path.suffix.lower() == ".sql" else "")


def _problem(text: str) -> str:
    """Why a query is not sent: it would end the session in which what others do is tried."""
    ends = _ENDS_SESSIONS.search(text)
    return f"it ends sessions by {ends[0].lower()}, and is not tried" if ends else ""
