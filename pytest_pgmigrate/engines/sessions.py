"""A lasting connection to one server that comes back after it was lost."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import sql
    from psycopg.abc import Params
    from typing_extensions import LiteralString

Rows = list[tuple[Any, ...]]


class Session:
    """Runs our own short queries (positions, CREATE DATABASE) without paying for a new connection each time.

    A drill or a migration may end every session of the server, so a lost connection is opened anew, once per query.
    Safe to use from several threads.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], what: str) -> None:
        self._connect = connect
        self._what = what
        self._connection: psycopg.Connection[Any] | None = None
        self._lock = threading.RLock()

    def open(self) -> None:
        """Connect now (it would otherwise happen at the first query)."""
        with self._lock:
            self._current()

    def rows(self, query: LiteralString | sql.SQL | sql.Composed, params: Params | None = None) -> Rows:
        """Run a query that may be sent twice, and return its rows. Raises EngineError when the server is gone."""
        with self._lock:
            for last in (False, True):
                connection = self._current()
                try:
                    cursor = connection.execute(query, params)
                    return cursor.fetchall() if cursor.description else []
                except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                    if not connection.closed:
                        raise
                    if last:
                        raise EngineError(f"the connection to {self._what} was lost: {_line(error)}") from error
        raise AssertionError("unreachable")

    def value(self, query: LiteralString, params: Params | None = None) -> Any:
        """The first column of the first row of a query that may be sent twice."""
        return self.rows(query, params)[0][0]

    def run(self, statement: sql.SQL | sql.Composed) -> None:
        """Run a statement that must not be sent twice; the connection is tried first, so that a stale one is seen."""
        with self._lock:
            self.rows("SELECT 1")
            self._current().execute(statement)

    def close(self) -> None:
        """Close the connection; never raises. A later query opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with contextlib.suppress(Exception):
                    connection.close()

    def _current(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self.close()
            try:
                self._connection = self._connect()
            except psycopg.OperationalError as error:
                raise EngineError(f"cannot connect to {self._what}: {_line(error)}") from error
        return self._connection


def _line(error: Exception) -> str:
    """An error's text on one line."""
    return " ".join(str(error).split())
