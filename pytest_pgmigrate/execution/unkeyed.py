"""Tables without a primary key: their rows cannot be followed, only told to be the same ones as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.states.digests import chain

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.kept import Kept
    from pytest_pgmigrate.execution.rows import Table


class Unkeyed:
    """Digests of tables without a key, taken before the down, of the columns that they had before the up."""

    def __init__(self, kept: Kept, before: Mapping[str, Table], migrated: Mapping[str, Table]) -> None:
        self._kept = kept
        self._columns: dict[str, list[str]] = {}
        for name, table in migrated.items():
            old = before.get(name)
            if old is not None and not (old.key and old.key == table.key):
                types = {column.name: column.type for column in table.columns.values()}
                self._columns[name] = [c.name for c in old.columns.values() if types.get(c.name) == c.type]
        self._types = {name: {c: migrated[name].columns[c].type for c in cs} for name, cs in self._columns.items()}
        self._digests = self._read(migrated)

    def doubts(self, now: Mapping[str, Table], by_down: set[str]) -> list[str]:
        """What cannot be told, a sentence per table: its rows are others after the down, or have other columns."""
        left = {name: now[name] for name in self._digests if name in by_down and name in now}
        comparable = {
            name: table
            for name, table in left.items()
            if {c: table.columns[c].type for c in self._columns[name] if c in table.columns} == self._types[name]
        }
        digests = self._read(comparable)
        return [
            f"{name} has no primary key to follow its rows by, and the down changes them"
            for name in left
            if digests.get(name) != self._digests[name] and any(self._digests[name])
        ]

    def _read(self, tables: Mapping[str, Table]) -> dict[str, list[int]]:
        queries = {}
        for name, table in tables.items():
            if name in self._columns:
                # As sums of halves: a bigint would overflow, and other queries give bigints too.
                row = chain(sorted(self._columns[name]), "n")
                halves = "count(*), coalesce(sum(h >> 32), 0)::int8, coalesce(sum(h & 4294967295), 0)::int8"
                queries[name] = f"SELECT ARRAY[{halves}] FROM (SELECT {row} AS h FROM {table.source} n OFFSET 0) h"
        return self._kept.numbers(queries)
