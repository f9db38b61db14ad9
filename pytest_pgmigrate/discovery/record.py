"""Reads the ledger of the user's production database: from a CSV file, or through a connection that only reads."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_pgmigrate.discovery.base import version_key
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.migration import History, Record, Recorded

COLUMNS = ("version", "filename", "checksum", "applied_at", "execution_time_ms", "success")
QUERY = (
    "COPY (SELECT version, filename, checksum, applied_at, execution_time_ms, success "
    "FROM schema_migrations ORDER BY version) TO STDOUT (FORMAT csv, HEADER)"
)
"""The documented way to make the CSV file; columns that a ledger lacks are left out, more are fine."""

_HEXADECIMAL = re.compile(r"[0-9a-f]{8,64}")
_TRUE = ("t", "true", "1", "yes", "y", "on", "")
_FALSE = ("f", "false", "0", "no", "n", "off")
_SCHEMES = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class Table:
    """A ledger as text: column names and rows, and how to name it to the user."""

    source: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, str | None]]


def read_record(value: str, history: History, root: Path | None = None) -> Record:
    """The ledger that the setting ``pgmigrate_ledger`` names: a CSV file (relative to root) or a DSN.

    A DSN is a libpq URI or ``key=value`` string; ``#schema.table`` behind it names the table, by default
    ``public.schema_migrations``. Raises UsageError for anything that cannot be read; no password is ever shown.
    """
    if not value.strip():
        raise UsageError("pgmigrate_ledger is empty: give a CSV file or a DSN")
    path = Path(root or ".", value)
    if value.startswith(_SCHEMES) or (re.match(r"\s*\w+\s*=", value) and not os.path.lexists(path)):
        from pytest_pgmigrate.discovery._ledger_table import read_table

        return _record(read_table(value), history)
    return _record(_read_csv(path, value), history)


def _read_csv(path: Path, shown: str) -> Table:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"pgmigrate_ledger: there is no file {shown} (looked for {path})") from None
    except OSError as error:
        raise UsageError(f"pgmigrate_ledger: {shown} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"pgmigrate_ledger: {shown} is not UTF-8 text") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise UsageError(f"pgmigrate_ledger: {shown}, line {reader.line_num}: {error}") from None
    if not lines:
        raise UsageError(f"pgmigrate_ledger: {shown} is empty; make it with: {QUERY}")
    columns = _header(lines[0][1], shown)
    for number, row in lines[1:]:
        if len(row) != len(columns):
            raise UsageError(
                f"pgmigrate_ledger: {shown}, line {number}: {len(row)} fields, the header has {len(columns)}"
            )
    rows = [dict(zip(columns, (field or None for field in row), strict=True)) for _, row in lines[1:]]
    return Table(shown, columns, rows)


def _header(first: list[str], shown: str) -> tuple[str, ...]:
    columns = tuple(name.strip().lower() for name in first)
    if "version" not in columns:
        other = next((d for d in (";", "\t", "|") if len(columns) == 1 and d in columns[0]), "")
        reason = (
            f"fields are separated by {other!r}, not by commas" if other else f"its first line is {', '.join(first)}"
        )
        raise UsageError(
            f"pgmigrate_ledger: {shown} has no header with a column version ({reason[:120]}); make it with: {QUERY}"
        )
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice:
        raise UsageError(f"pgmigrate_ledger: {shown} has the column {twice} twice")
    return columns


def _record(table: Table, history: History) -> Record:
    if "dirty" in table.columns and "checksum" not in table.columns and len(table.rows) <= 1:
        return _up_to(table, history)
    known = {version_key(m.version): m.version for m in history.migrations}
    lengths = _checksum_lengths(table, history)
    rows, odd = [], 0
    for number, row in enumerate(table.rows, start=1):
        version = (row.get("version") or "").strip()
        if not version:
            raise UsageError(f"pgmigrate_ledger: {table.source}, row {number}: the version is empty")
        checksum = _checksum(row)
        usable = bool(_HEXADECIMAL.fullmatch(checksum)) and len(checksum) in lengths
        odd += bool(checksum) and not usable
        rows.append(
            Recorded(
                version=known.get(version_key(version) or (-1,), version),
                filename=row.get("filename"),
                checksum=checksum if usable else None,
                applied_at=row.get("applied_at"),
                success=_success(row, table.source, number),
            )
        )
    detail = table.source + (f" ({odd} checksums are not SHA-256 and are not compared)" if odd else "")
    return Record("ledger", detail, tuple(rows))


def _checksum(row: Mapping[str, str | None]) -> str:
    return (row.get("checksum") or "").strip().lower().removeprefix("sha256:")


def _checksum_lengths(table: Table, history: History) -> set[int]:
    """How long this ledger's SHA-256 checksums are: 64, or shortened when one of them is the start of a file's.

    Anything else (MD5, CRC-32, made-up text) would make every file look edited.
    """
    ours = [m.up.checksum for m in history.migrations if m.up.checksum]
    seen = {_checksum(row) for row in table.rows}
    return {64} | {len(c) for c in seen if _HEXADECIMAL.fullmatch(c) and any(o.startswith(c) for o in ours)}


def _success(row: Mapping[str, str | None], source: str, number: int) -> bool:
    column, truth = ("success", True) if "success" in row or "dirty" not in row else ("dirty", False)
    value = row.get(column)
    if value is None:
        return True
    word = value.strip().lower()
    if word in _TRUE:
        return truth
    if word in _FALSE:
        return not truth
    raise UsageError(f"pgmigrate_ledger: {source}, row {number}: {column} is {value!r}, neither true nor false")


def _up_to(table: Table, history: History) -> Record:
    """golang-migrate's own table: one row, and everything up to its version is applied."""
    if not table.rows:
        return Record("ledger", f"{table.source} (golang-migrate, no version yet)")
    row = table.rows[0]
    version = (row.get("version") or "").strip()
    if not version.isdigit():
        raise UsageError(f"pgmigrate_ledger: {table.source}: the version is {version!r}, not a number")
    clean = _success({"dirty": row.get("dirty")}, table.source, 1)
    last = version_key(version)
    rows = [
        Recorded(m.version, None, None, success=clean or version_key(m.version) != last)
        for m in history.migrations
        if version_key(m.version) <= last
    ]
    if all(version_key(m.version) != last for m in history.migrations):
        rows.append(Recorded(version, None, None, success=clean))
    return Record("ledger", f"{table.source} (golang-migrate, version {version})", tuple(rows))
