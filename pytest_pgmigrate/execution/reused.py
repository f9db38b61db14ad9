"""Rows that reuse a key which the up has taken away: no application makes them, and a down that restores would collide."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_pgmigrate.execution.rows import TableRows

_PASSES = 3
"""Rows that others reference go after those: as many levels of references as are followed."""


def remove(
    connection: psycopg.Connection[Any],
    before: Mapping[str, TableRows],
    migrated: Mapping[str, TableRows],
    written: Mapping[str, TableRows],
) -> bool:
    """Delete every row of ``written`` with a key of ``before`` that ``migrated`` lacks; returns whether there was one."""
    reused = {
        table: [key for key in now.rows if key in before[table].rows and key not in migrated[table].rows]
        for table, now in written.items()
        if table in before and table in migrated and now.key and now.key == before[table].key
    }
    wanted = any(reused.values())
    for _ in range(_PASSES if wanted else 0):
        for table, keys in reused.items():
            same = sql.SQL(" AND ").join(
                sql.SQL("{}::text = %s").format(sql.Identifier(name)) for name in written[table].key
            )
            for key in keys:
                with suppress(psycopg.Error), connection.transaction():
                    connection.execute(sql.SQL("DELETE FROM {} WHERE {}").format(sql.SQL(table), same), key)
    return wanted
