"""Tables that keep copies of another table's rows (``users_backup``): filled with what they would have copied.

A restore from such a table then changes nothing, where invented values would overwrite the rows it is meant to save.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import Column, Row, Table, TableName, quote_identifier

LIMIT = 1000

_COPY = re.compile(r"(^|_)(backup|bak|bkp|copy|snapshot|old|orig|original|saved)($|_)")
_BEFORE = re.compile(r"^(old|orig|original|previous|prev|backup)_|_(old|orig|original|before|backup)$")


def source_of(table: TableName, names: Mapping[int, TableName]) -> int | None:
    """The table whose rows this one copies, by name: the longest other name of the schema that its own contains."""
    if not _COPY.search(table.name.lower()):
        return None
    words = f"_{table.name.lower()}_"
    fitting = [
        other
        for other in names.values()
        if other.oid != table.oid and other.schema == table.schema and f"_{other.name.lower()}_" in words
    ]
    return max(fitting, key=lambda other: (len(other.name), other.name)).oid if fitting else None


def copied_rows(session: Session, table: Table, names: Mapping[int, TableName]) -> list[Row]:
    """The source's rows under the names of this table's columns; [] when the table copies none."""
    oid = source_of(table.ident, names)
    if oid is None:
        return []
    source = names[oid]
    kinds = dict(
        session.query(
            "SELECT attname, atttypid FROM pg_attribute "
            f"WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
    )
    pairs = {column.name: name for column in table.columns if (name := _counterpart(column, source, kinds))}
    if not pairs:
        return []
    shown = ", ".join(f"{quote_identifier(name)}::text" for name in pairs.values())
    order = ", ".join(f'{quote_identifier(name)}::text COLLATE "C"' for name in pairs.values())
    rows = session.query(f"SELECT {shown} FROM {source.only} ORDER BY {order} LIMIT {LIMIT}")
    return [dict(zip(pairs, row, strict=True)) for row in rows]


def _counterpart(column: Column, source: TableName, kinds: Mapping[str, int]) -> str | None:
    """The source's column that this one copies: of the same name, ``old_`` name, or its key under ``user_id``."""
    if column.generated or column.sequence:
        return None
    stem = re.sub(r"(ies|es|s)$", "", source.name.lower())
    plain = _BEFORE.sub("", column.name.lower())
    named = [column.name, plain, *(["id"] if plain.startswith(stem) and plain.endswith("_id") else [])]
    return next((name for name in named if kinds.get(name) == column.type.oid), None)
