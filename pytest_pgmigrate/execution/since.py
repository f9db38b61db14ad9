"""Which tables may have changed between two moments: by WAL and the catalog, as states are read, never by statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.states import oracles

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.rows import Table


class Since:
    """Files written since a mark, in one database; open it with ``with``.

    A change of a logged table cannot reach it without a WAL record that names its file
    (https://www.postgresql.org/docs/current/wal-intro.html). Where WAL cannot be read everything may have changed.
    """

    def __init__(self, database: Database) -> None:
        self._cluster = database.cluster
        row = database.control.execute(
            "SELECT oid::int8 FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        assert row is not None
        self._database = int(row[0])
        self._oracle = oracles.acquire(self._cluster)
        self._start: str | None = None

    def __enter__(self) -> Since:
        return self

    def __exit__(self, *_: object) -> None:
        oracles.release(self._cluster)

    def mark(self) -> None:
        """Look from here on."""
        self._start = None
        if self._oracle is not None:
            position, _ = self._oracle.look(None, self._database)
            # Rows of a transaction that is open now would appear later without being written then.
            self._start = position.lsn if position.quiet else None

    def written(self) -> frozenset[int] | None:
        """Files (relfilenodes) written since the mark; None when that cannot be told."""
        if self._oracle is None or self._start is None:
            return None
        _, touched = self._oracle.look(self._start, self._database)
        return None if touched is None else frozenset(touched.files) | touched.images


def changed(old: Mapping[str, Table], new: Mapping[str, Table], written: frozenset[int] | None) -> set[str]:
    """The tables of which some column, that both sides have, may read otherwise than before; and those of one side only.

    A column that only one side has says nothing of the others: adding one without a rewrite, or dropping one, writes
    nothing but the catalog (https://www.postgresql.org/docs/current/sql-altertable.html, Notes).
    """
    if written is None:
        return old.keys() | new.keys()
    return {name for name in old.keys() | new.keys() if _may_differ(old.get(name), new.get(name), written)}


def reshaped(old: Mapping[str, Table], new: Mapping[str, Table]) -> set[str]:
    """The tables that are other ones, or have other columns under the same names: dropped in between and made anew."""
    return changed(old, new, frozenset())


def _may_differ(old: Table | None, new: Table | None, written: frozenset[int]) -> bool:
    if old is None or new is None or not (old.watched and new.watched):
        return True
    if (old.oid, old.files) != (new.oid, new.files) or not written.isdisjoint(new.files):
        return True
    return any(c.vector != new.columns[c.name].vector for c in old.columns.values() if c.name in new.columns)
