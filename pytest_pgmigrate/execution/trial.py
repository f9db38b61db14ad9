"""Up and down tried once more on other rows, leaving nothing: in a transaction rolled back, or in a clone to spend.

A transaction costs a few milliseconds and serves every script that PostgreSQL can undo; a script that commits in its
middle, or must not run in a transaction block, gets a clone of the base each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from pytest_pgmigrate.execution.kinds import needs_gate
from pytest_pgmigrate.execution.send import send, server_error
from pytest_pgmigrate.model.migration import Direction, Migration, Script, TransactionRule

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.workspace import Workspace
    from pytest_pgmigrate.model.evidence import ServerError

# What PostgreSQL refuses in a transaction block, and what a rolled back transaction would not undo or not stand.
_ALONE = (
    "VACUUM",
    "ALTER SYSTEM",
    "CREATE DATABASE",
    "DROP DATABASE",
    "CREATE TABLESPACE",
    "DROP TABLESPACE",
    "TXN ROLLBACK",
)
_SEQUENCES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND c.relpersistence <> 't' ORDER BY 1
"""
_FRAME = ("TXN BEGIN", "TXN START", "TXN COMMIT")


@dataclass(frozen=True, slots=True)
class Failure:
    """The script that failed, and how."""

    direction: Direction
    error: ServerError


class Place:
    """Where one trial happens: a connection that sees what it did so far, and a way to run a script there."""

    def __init__(
        self, connection: psycopg.Connection[Any], run: Callable[[Direction, Script], ServerError | None]
    ) -> None:
        self.connection = connection
        self._run = run

    def run(self, migration: Migration, direction: Direction) -> Failure | None:
        """Run one script of the migration; how it failed, if it did."""
        script = migration.up if direction is Direction.UP else migration.down
        error = self._run(direction, script) if script is not None else None
        return None if error is None else Failure(direction, error)


class Trials:
    """Places to try one migration in, at version n-1 each. Close when done: the base is free again then."""

    def __init__(self, space: Workspace, migration: Migration) -> None:
        self._space = space
        self._migration = migration
        self._connection: psycopg.Connection[Any] | None = None
        self._sequences: Sequences | None = None
        self.undone = all(undone(script) for script in (migration.up, migration.down) if script is not None)
        """Whether a trial is one transaction; otherwise it costs a clone."""

    def close(self) -> None:
        """Let go of the base."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._sequences = None

    @contextmanager
    def place(self, *, real: bool = False) -> Iterator[Place]:
        """One place; what is done there is gone afterwards. ``real``: exactly as the tool runs it, in a clone."""
        if self.undone and not real:
            with self._rolled_back() as place:
                yield place
            return
        self.close()
        database = self._space.clone_base()
        migration = self._migration

        def run(direction: Direction, script: Script) -> ServerError | None:
            return database.run(f"{direction.value} on other rows", migration, direction, watched=False).error

        try:
            yield Place(database.control, run)
        finally:
            self._space.spend(database)

    @contextmanager
    def _rolled_back(self) -> Iterator[Place]:
        if self._connection is None or self._connection.closed:
            self._connection = self._space.connect_base()
            self._sequences = Sequences(self._connection)
        connection = self._connection
        try:
            with connection.transaction(force_rollback=True):
                yield Place(connection, lambda _, script: _inside(connection, script))
        finally:
            if connection.info.transaction_status is not TransactionStatus.IDLE:
                self.close()
            elif self._sequences is not None:
                self._sequences.put_back()


def undone(script: Script) -> bool:
    """Whether all that a script does can be done in one transaction and undone with it."""
    if any(chunk.rule is TransactionRule.NONE for chunk in script.chunks):
        return False
    return not any(needs_gate(s) or s.kind.startswith(_ALONE) for s in script.statements)


def _inside(connection: psycopg.Connection[Any], script: Script) -> ServerError | None:
    """Run a script inside the transaction that is open; on an error the transaction is left as it was before."""
    connection.execute("SAVEPOINT pgmigrate_trial")
    for chunk in script.chunks:
        for statement in chunk.statements:
            if statement.kind.startswith(_FRAME):
                continue
            answer = send(connection, statement.text)
            if answer.failed:
                error = server_error(answer, chunk, statement)
                if not connection.closed:
                    connection.execute("ROLLBACK TO SAVEPOINT pgmigrate_trial")
                return error
        # Deferred constraints speak up where the script would have committed.
        answer = send(connection, "SET CONSTRAINTS ALL IMMEDIATE")
        if answer.failed:
            last = chunk.statements[-1] if chunk.statements else None
            error = server_error(answer, chunk, last)
            connection.execute("ROLLBACK TO SAVEPOINT pgmigrate_trial")
            return error
    return None


class Sequences:
    """Where all sequences of a database stand: no ROLLBACK takes back what was drawn from them.

    https://www.postgresql.org/docs/current/functions-sequence.html
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        names = [name for (name,) in connection.execute(_SEQUENCES).fetchall()]
        self._query = " UNION ALL ".join(
            f"SELECT {index}, last_value, is_called FROM {name}" for index, name in enumerate(names)
        )
        self._names = names
        self._before = self._read()

    def _read(self) -> dict[int, tuple[int, bool]]:
        if not self._query:
            return {}
        return {
            index: (last, called) for index, last, called in self._connection.execute(self._query.encode()).fetchall()
        }

    def put_back(self) -> None:
        """Set every sequence that moved to where it stood."""
        for index, now in self._read().items():
            if now != self._before[index]:
                self._connection.execute(
                    "SELECT pg_catalog.setval(%s::regclass, %s, %s)", (self._names[index], *self._before[index])
                )
