"""Fills in the rows of a difference: from what was kept after the first up, or from the replica beside the primary."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.execution.states import Kept, keep, locate, locate_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_pgmigrate.model.cluster import Cluster
    from pytest_pgmigrate.model.ignoring import Ignoring
    from pytest_pgmigrate.model.state import Difference


def keep_rows(connection: psycopg.Connection[Any], tables: Iterable[str]) -> dict[str, Kept]:
    """The rows of these tables, by table; of large ones, and of those that cannot be read, none."""
    found: dict[str, Kept] = {}
    for table in tables:
        # Rows are shown where they can be; that they differ is told by digests.
        with suppress(psycopg.Error):
            kept = keep(connection, table)
            if kept is not None:
                found[table] = kept
    return found


def shown(
    connection: psycopg.Connection[Any], difference: Difference, kept: Mapping[str, Kept], ignoring: Ignoring
) -> Difference:
    """The difference with its rows, as far as the old ones were kept. Raises psycopg.Error."""
    tables = (
        locate_kept(kept[c.table], connection, c, of_table(ignoring, c.table)) if c.table in kept else c
        for c in difference.tables
    )
    return replace(difference, tables=tuple(tables))


def of_table(ignoring: Ignoring, table: str) -> Callable[[str], bool]:
    """Whether a column of this table is left out by the user's list."""
    return lambda column: ignoring.column(table, column) is not None


def on_replica(cluster: Cluster, primary: psycopg.Connection[Any], difference: Difference) -> Difference:
    """The difference with the rows that the replica has otherwise. Raises psycopg.Error."""
    if not difference.tables:
        return difference
    replica = cluster.connect(primary.info.dbname, replica=True)
    try:
        return replace(difference, tables=tuple(locate(primary, replica, change) for change in difference.tables))
    finally:
        replica.close()
