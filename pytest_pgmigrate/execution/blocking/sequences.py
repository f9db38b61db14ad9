"""Sequences that triggers and users' queries draw from are put back: nextval() is not undone by a rollback.

https://www.postgresql.org/docs/current/functions-sequence.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Collection

_ALL = b"""SELECT c.oid::int8, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND c.oid >= 16384"""


class Sequences:
    """The values of some sequences at one moment."""

    def __init__(self, connection: psycopg.Connection[Any], only: Collection[int] | None = None) -> None:
        """Read all sequences of the database, or ``only`` these. Raises psycopg.Error."""
        rows = connection.execute(_ALL).fetchall()
        self._names = {oid: sql.Identifier(schema, name) for oid, schema, name in rows if only is None or oid in only}
        self._values = self._read(connection)

    def restore(self, connection: psycopg.Connection[Any]) -> None:
        """Put back those that moved. Raises psycopg.Error."""
        for oid, (value, called) in self._read(connection).items():
            if (value, called) != self._values[oid]:
                connection.execute(b"SELECT setval(%s::oid::regclass, %s, %s)", (oid, *self._values[oid]))

    def _read(self, connection: psycopg.Connection[Any]) -> dict[int, tuple[int, bool]]:
        if not self._names:
            return {}
        each = [
            sql.SQL("SELECT {}::int8, last_value, is_called FROM {}").format(oid, name)
            for oid, name in self._names.items()
        ]
        rows = connection.execute(sql.SQL(" UNION ALL ").join(each)).fetchall()
        return {oid: (value, called) for oid, value, called in rows}
