"""Row counts of production, as the user exports them: a CSV of ``table,rows``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from pytest_pgmigrate.errors import UsageError

QUERY = (
    "SELECT n.nspname || '.' || c.relname AS table, greatest(c.reltuples, 0)::bigint AS rows FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm')"
    " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
)
"""Produces the file: ``psql --csv -c "…" > production_rows.csv``. Estimates of the last ANALYZE are good enough."""


def read_production_rows(path: Path) -> Mapping[str, int]:
    """Rows by qualified table name; a name without a schema is one of ``public``. A header line is passed over.

    Raises UsageError naming the line for a file that cannot be read or is no such CSV.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--pgmigrate-production-rows: {path} cannot be read: {error}") from error
    rows: dict[str, int] = {}
    try:
        lines = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise UsageError(f"--pgmigrate-production-rows: {path} is no CSV: {error}") from error
    for number, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line]
        if not any(cells):
            continue
        count = _count(cells[1]) if len(cells) == 2 else None
        if count is None:
            if number == 1 and len(cells) == 2:
                continue
            raise UsageError(f"--pgmigrate-production-rows: {path}:{number} is not 'table,rows': {','.join(line)[:80]}")
        rows[cells[0] if "." in cells[0] else f"public.{cells[0]}"] = count
    return rows


def _count(text: str) -> int | None:
    """Whole rows; -1 is what pg_class says of a table never analysed, of which nothing is known."""
    digits = text.replace("_", "").replace(" ", "")
    return int(digits) if digits.isdecimal() else None
