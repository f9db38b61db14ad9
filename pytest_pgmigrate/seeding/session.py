"""One connection while it seeds: settings that make text forms the same everywhere, and guarded statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from pytest_pgmigrate.seeding.shape import quote_literal

SETTINGS = {
    "client_min_messages": "error",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "standard_conforming_strings": "on",
    "row_security": "off",
    "statement_timeout": "60s",
    "jit": "off",
}
"""Everything the text form of a value, or of an expression read from the catalog, depends on."""

_RENEW = "RELEASE SAVEPOINT pgmigrate_seed; SAVEPOINT pgmigrate_seed"


class Session:
    """Statements over one connection, in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._cursor = connection.cursor(row_factory=tuple_row)

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """The rows of a query without parameters."""
        return self._cursor.execute(text.encode(), prepare=False).fetchall()

    def run(self, text: str) -> int:
        """Execute a statement; the number of rows it affected."""
        return max(self._cursor.execute(text.encode(), prepare=False).rowcount, 0)

    def attempt(self, text: str) -> list[tuple[Any, ...]] | int | psycopg.Error:
        """Execute one statement under a savepoint: its rows, the number of rows affected, or its error.

        The savepoint is set before the statement comes, for even a syntax error aborts a transaction.
        """
        cursor = self._cursor
        try:
            cursor.execute(f"{text}; {_RENEW}".encode(), prepare=False)
        except psycopg.Error as error:
            # A lost connection cannot be rolled back: that ends the whole call.
            if self.connection.closed:
                raise
            self.run("ROLLBACK TO SAVEPOINT pgmigrate_seed")
            return error
        return cursor.fetchall() if cursor.description else max(cursor.rowcount, 0)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """SETTINGS for the block, the session's own ones afterwards, also inside a longer transaction."""
        names = ", ".join(f"current_setting({quote_literal(name)})" for name in SETTINGS)
        old = dict(zip(SETTINGS, self.query(f"SELECT {names}")[0], strict=True))
        self._set(SETTINGS)
        # Deferred constraints then speak up at the table that breaks them, not at COMMIT.
        self.run("SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT pgmigrate_seed")
        yield
        self.run("RELEASE SAVEPOINT pgmigrate_seed")
        self._set(old)

    def _set(self, values: dict[str, str]) -> None:
        calls = ", ".join(
            f"set_config({quote_literal(name)}, {quote_literal(value)}, true)" for name, value in values.items()
        )
        self.query(f"SELECT {calls}")


def describe(error: psycopg.Error) -> str:
    """SQLSTATE and primary message on one line."""
    message = error.diag.message_primary or str(error).partition("\n")[0]
    return f"{error.sqlstate or 'error'} {message}"
