"""Unlogged tables: they write no WAL, so that no replica has their rows, and a crash empties them.

https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-UNLOGGED
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_pgmigrate.model.replica import UnloggedTable

if TYPE_CHECKING:
    from pytest_pgmigrate.model.state import Difference, State


def unlogged_tables(before: State, after: State | None, changed: Difference) -> tuple[UnloggedTable, ...]:
    """Tables that the up made unlogged, or turned into such."""
    if after is None:
        return ()
    found = {}
    for change in changed.objects:
        if change.key.kind != "table" or change.change == "missing":
            continue
        if after.objects.get(change.key, {}).get("persistence") != "unlogged":
            continue
        old = before.objects.get(change.key)
        if old is None or old.get("persistence") != "unlogged":
            name = change.key.name.replace('"', "")
            digest = before.tables.get(name)
            found[name] = UnloggedTable(name, old is not None, digest.count if digest else 0)
    return tuple(found.values())
