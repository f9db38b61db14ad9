"""One statement tried and undone, in one round trip where it works."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.model.compat import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

_SAVEPOINT = "pgmigrate_old"
_NAMES = count(1)
# Deferred constraints speak up where the application would have committed.
_END = f"\n;SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO SAVEPOINT {_SAVEPOINT}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a statement ended: rows it wrote or gave (-1 unknown), or what the server said."""

    rows: int = -1
    refused: Refused | None = None
    position: int = 0
    """Where in the statement the error is, in characters from 1; 0 unknown."""


class Tries:
    """Tries statements on one connection, inside a transaction that the caller rolls back."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        # Of its own: a text that cannot be parsed is refused as a whole, a SAVEPOINT in front of it included.
        connection.execute(f"SAVEPOINT {_SAVEPOINT}".encode(), prepare=False)

    def attempt(self, sql: str, kind: str) -> Attempt:
        """Run and undo. Raises psycopg.Error only when the connection is lost."""
        return self._send("", sql, kind)

    def prepared(self, sql: str, values: Sequence[str], kind: str = "QUERY") -> Attempt:
        """The same with values for $1, $2 …, planned anew."""
        name = self.name()
        return self._send(f"PREPARE {name} AS ", f"{sql}\n;{execute(name, values)}", kind, shown=sql)

    def prepare(self, sql: str) -> str:
        """Prepare for later, as a driver keeps plans; the name, or "" where it cannot be."""
        name = self.name()
        try:
            self._connection.execute(f"PREPARE {name} AS {sql}\n".encode(), prepare=False)
        except psycopg.Error:
            self._back()
            return ""
        return name

    def name(self) -> str:
        """A name for a prepared statement that nothing else has: no ROLLBACK takes one back."""
        return f"pgmigrate_old_{next(_NAMES)}"

    def _send(self, prefix: str, sql: str, kind: str, shown: str = "") -> Attempt:
        shown = shown or sql
        try:
            cursor = self._connection.execute((prefix + sql + _END).encode(), prepare=False)
        except psycopg.Error as error:
            self._back()
            place = int(error.diag.statement_position or 0) - len(prefix)
            return Attempt(refused=refusal(error, kind, shown), position=max(place, 0))
        if prefix:
            cursor.nextset()
        return Attempt(cursor.rowcount)

    def _back(self) -> None:
        # Raises where the connection is lost: that is no verdict about a statement.
        self._connection.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}", prepare=False)


def execute(name: str, values: Sequence[str]) -> str:
    """``EXECUTE name ('…', …)``; the values are SQL already."""
    return f"EXECUTE {name}" + (f" ({', '.join(values)})" if values else "")


def refusal(error: psycopg.Error, kind: str, sql: str) -> Refused:
    """The server's words as plain data."""
    diag = error.diag
    message = (diag.message_primary or str(error).strip() or type(error).__name__).splitlines()[0]
    column = diag.column_name or ""
    if not column and (match := re.search(r'\bcolumn "([^"]+)"', message)):
        column = match[1]
    return Refused(
        kind, sql, diag.sqlstate or "", message, diag.message_detail or "", diag.constraint_name or "", column
    )


def counted(found: Sequence[Refused], tried: int) -> Refused:
    """The first of several refusals of one statement, with their number."""
    return replace(found[0], refused=len(found), tried=tried)


def literal(value: str | None) -> str:
    """A value as an application sends it: of no type of its own, the server reads it as what the column wants."""
    if value is None:
        return "NULL"
    escaped = value.replace("'", "''")
    return "E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in value else f"'{escaped}'"
