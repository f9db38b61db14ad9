"""A session that runs statements as an application would, many in one round trip, and undoes each of them.

All groups travel in one libpq pipeline; each is its own transaction, so that one failure is one statement's:
https://www.postgresql.org/docs/current/libpq-pipeline-mode.html
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import generators
from psycopg.pq import DiagnosticField, ExecStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn, PGresult

_FAILED = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE)

LOCK_TIMEOUT = "55P03"

STATEMENT_TIMEOUT_MS = 5000

# For reading the catalog: sizes and partitions cannot be asked for while someone rebuilds the table.
_PATIENCE = "SET lock_timeout = 500"

_SETTINGS = (
    _PATIENCE,
    f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}",
    "SET client_min_messages = error",
    "SET max_parallel_workers_per_gather = 0",
    "SET jit = off",
    # The migration's own rows are counted from the same counters; ours must not be among them.
    "SET track_counts = off",
    # Waiting for a row and waiting for a relation are told apart by the error's context.
    "SET lc_messages = 'C'",
)

_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE"
# Each group starts by undoing the one before it, failed or not.
# Plans that foreign keys and triggers keep would take fewer locks the next time, so every statement plans anew.
# What is deferred to COMMIT, which never comes, has to happen at once.
_PROLOGUE = ("ROLLBACK AND CHAIN", "DISCARD PLANS", "SET CONSTRAINTS ALL IMMEDIATE")
# A query may have taken session-level advisory locks, which a rollback leaves: the migration must not wait for them.
_EPILOGUE = ("ROLLBACK", _PATIENCE, "SELECT pg_advisory_unlock_all()")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one statement ended. ``sqlstate`` is empty when it ran through, ``08006`` when the session was lost."""

    sqlstate: str = ""
    message: str = ""
    context: str = ""
    position: int = 0
    """Character in the statement, from 1; 0 when the server named none."""

    tag: str = ""
    plan: str = ""
    """What EXPLAIN showed."""

    after: tuple[str, ...] = ()
    """First column of what the command after the statement returned."""

    @property
    def ran(self) -> bool:
        """It ran through."""
        return not self.sqlstate

    @property
    def waited_for_row(self) -> bool:
        """It timed out waiting for a row that another transaction wrote, not for a relation."""
        return self.sqlstate == LOCK_TIMEOUT and "tuple (" in self.context

    @property
    def blocked(self) -> bool:
        """It timed out waiting for a relation lock."""
        return self.sqlstate == LOCK_TIMEOUT and not self.waited_for_row

    @property
    def rows(self) -> int | None:
        """Rows inserted, updated or deleted; None where the command tag does not say."""
        words = self.tag.split()
        return int(words[-1]) if words and words[0] in ("INSERT", "UPDATE", "DELETE") else None


_Group = tuple[tuple[str, int], ...]
"""Commands of one transaction, each with the number of its parameters."""

_LOST = Outcome("08006", "the session was ended")


class Prober:
    """Opens its connection when first needed, and again when it was lost."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The open connection, in autocommit. Raises psycopg.Error when none can be opened."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            for setting in _SETTINGS:
                # Some need a superuser, which an external server may not give.
                with suppress(psycopg.errors.InsufficientPrivilege):
                    self._connection.execute(setting.encode())
        return self._connection

    def try_each(self, statements: Sequence[tuple[str, int]], *, lock_timeout_ms: int, then: str = "") -> list[Outcome]:
        """Run each statement and the fixed query ``then`` in a transaction of its own, undone. In the order given.

        A statement is its text and the number of its parameters, which are NULL.
        A session lost on the way costs the statement it was lost in; the others run in a new one. Raises psycopg.Error
        when no session can be opened.
        """
        tail = (then,) if then else ()
        outcomes: list[Outcome] = []
        while len(outcomes) < len(statements):
            groups = [_group(*statement, tail) for statement in statements[len(outcomes) :]]
            # On its own, or the first rollback would undo it.
            before = (_plain(f"SET lock_timeout = {lock_timeout_ms}"), _plain(_BEGIN))
            done = self._pipeline((*before, *groups, _plain(*_EPILOGUE)))[len(before) : -1]
            outcomes += done
            if len(done) < len(groups):
                outcomes.append(_LOST)
        return outcomes

    def wake(self) -> None:
        """Give up a connection that was lost since it was last used; the next use opens another."""
        if self._connection is not None:
            try:
                self._connection.execute(b"")
            except psycopg.OperationalError:
                self.close()

    def close(self) -> None:
        """Close the connection; it opens again when needed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _pipeline(self, groups: Sequence[_Group]) -> list[Outcome]:
        """Outcomes of the groups, and one more of no meaning instead of the rest when the session was lost."""
        received: list[list[PGresult]] = []
        connection = self.connection
        pgconn = connection.pgconn
        try:
            pgconn.enter_pipeline_mode()
            for group in groups:
                for sql, parameters in group:
                    pgconn.send_query_params(sql.encode(), [None] * parameters)
                pgconn.pipeline_sync()
            connection.wait(_communicate(pgconn, len(groups), received))
            pgconn.exit_pipeline_mode()
        except psycopg.OperationalError:
            # The last list is the group in which the session ended.
            self.close()
            return [*map(_outcome, received[:-1]), _LOST]
        return [_outcome(results) for results in received]


def _group(sql: str, parameters: int, tail: tuple[str, ...]) -> _Group:
    return (*_plain(*_PROLOGUE), (sql, parameters), *_plain(*tail))


def _plain(*commands: str) -> _Group:
    return tuple((command, 0) for command in commands)


def _communicate(pgconn: PGconn, syncs: int, received: list[list[PGresult]]) -> PQGen[None]:
    """Send what is queued and take in the results of every group, one list each."""
    yield from generators.send(pgconn)
    received.append([])
    while True:
        result = yield from generators.fetch(pgconn)
        if result is None:
            # The end of one command's results; the next call goes on to the next command.
            if pgconn.status != psycopg.pq.ConnStatus.OK:
                raise psycopg.OperationalError("the connection is lost")
            continue
        if result.status == ExecStatus.PIPELINE_SYNC:
            syncs -= 1
            if not syncs:
                return
            received.append([])
        else:
            received[-1].append(result)


def _outcome(results: Sequence[PGresult]) -> Outcome:
    failed = next((result for result in results if result.status in _FAILED), None)
    if failed is not None:
        return Outcome(
            _field(failed, DiagnosticField.SQLSTATE) or "XX000",
            _field(failed, DiagnosticField.MESSAGE_PRIMARY),
            _field(failed, DiagnosticField.CONTEXT),
            int(_field(failed, DiagnosticField.STATEMENT_POSITION) or 0),
        )
    if len(results) <= len(_PROLOGUE):
        return Outcome()
    statement, *after = results[len(_PROLOGUE) :]
    tag = (statement.command_status or b"").decode()
    plan = (statement.get_value(0, 0) or b"").decode() if tag == "EXPLAIN" else ""
    rows = tuple((result.get_value(row, 0) or b"").decode() for result in after for row in range(result.ntuples))
    return Outcome(tag=tag, plan=plan, after=rows)


def _field(result: PGresult, field: DiagnosticField) -> str:
    return (result.error_field(field) or b"").decode("utf-8", "replace")
