"""Rows that foreign keys may point to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import ForeignKey, Row, TableName, quote_identifier

LIMIT = 1000
WHOLE = 200_000
"""Rows looked at where no two children may share a parent."""


class Parents:
    """Looks up referenced rows, each table once until it gets more rows."""

    def __init__(self, session: Session, names: Mapping[int, TableName]) -> None:
        self._session = session
        self._names = names
        self._cache: dict[tuple[int, tuple[str, ...], int], list[Row]] = {}
        self._planned: dict[int, list[Row]] = {}

    def rows(self, key: ForeignKey, limit: int = LIMIT) -> list[Row]:
        """Up to ``limit`` rows of the referenced table, in an order that no collation decides.

        Each holds the referenced columns and the columns of the parent's own foreign keys, so that a child of both a
        table and its parent can be given a matching pair.
        """
        if key.parent in self._planned:
            return self._planned[key.parent]
        parent = self._names.get(key.parent)
        if parent is None:
            return []
        found = self._cache.get((key.parent, key.referenced, limit))
        if found is None:
            extra = [column for other in parent.foreign_keys for column in other.columns]
            columns = tuple(dict.fromkeys((*key.referenced, *extra)))
            found = self._read(parent, key.referenced, columns, limit)
            self._cache[(key.parent, key.referenced, limit)] = found
        return found

    def forget(self, oid: int) -> None:
        """The table got rows: read it again when asked."""
        self._planned.pop(oid, None)
        for key in [key for key in self._cache if key[0] == oid]:
            del self._cache[key]

    def plan(self, oid: int, rows: list[Row]) -> None:
        """Rows that one statement is about to insert together with rows pointing to them."""
        self._planned[oid] = rows

    def _read(self, parent: TableName, referenced: Sequence[str], columns: Sequence[str], limit: int) -> list[Row]:
        shown = ", ".join(f"{quote_identifier(column)}::text" for column in columns)
        present = " AND ".join(f"{quote_identifier(column)} IS NOT NULL" for column in referenced)
        order = ", ".join(f'{quote_identifier(column)}::text COLLATE "C"' for column in referenced)
        text = f"SELECT {shown} FROM {parent.only} WHERE {present} ORDER BY {order} LIMIT {limit}"
        return [dict(zip(columns, row, strict=True)) for row in self._session.query(text)]
