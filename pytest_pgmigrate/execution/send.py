"""Sending SQL exactly as a migration tool does, and mapping what comes back to a place in the user's file.

Results are read on libpq's level: ``execute()`` of a driver hides which of several statements failed.
Simple query protocol: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
"""

from __future__ import annotations

import select
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus

from pytest_pgmigrate.errors import ExecutionError
from pytest_pgmigrate.model.evidence import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg.pq.abc import PGconn, PGresult

    from pytest_pgmigrate.model.migration import Chunk, Statement

_COPY = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one simple query brought back: command tags in order, and the error that ended it."""

    tags: tuple[str, ...]
    error: PGresult | None = None
    lost: str = ""
    """Non-empty when the connection or the COPY protocol broke, in words."""

    @property
    def failed(self) -> bool:
        """An error or a broken connection."""
        return self.error is not None or bool(self.lost)


def send(connection: psycopg.Connection[Any], text: str, meanwhile: Callable[[], None] | None = None) -> Answer:
    """Send ``text`` as one simple query and read every result. Raises nothing for what the server says.

    ``meanwhile`` is called while the server works.
    """
    try:
        # A NUL byte would silently end the query text on its way through libpq.
        if "\0" in text:
            return Answer((), None, "the text holds a NUL character")
        connection.pgconn.send_query(text.encode("utf-8"))
    except psycopg.Error as error:
        return Answer((), None, str(error).strip() or type(error).__name__)
    except UnicodeEncodeError as error:
        return Answer((), None, f"the text cannot be sent as UTF-8: {error.reason}")
    if meanwhile is not None and not connection.pgconn.flush():
        with _cancelled(connection):
            meanwhile()
    return receive(connection)


@contextmanager
def _cancelled(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Whoever goes away leaves no statement running on the server."""
    try:
        yield
    except (KeyboardInterrupt, ExecutionError):
        with suppress(psycopg.Error):
            connection.cancel()
        raise


def receive(connection: psycopg.Connection[Any]) -> Answer:
    """Read every result of a simple query that was sent. Raises nothing for what the server says."""
    try:
        with _cancelled(connection):
            results = _results(connection.pgconn)
    except psycopg.Error as error:
        return Answer((), None, str(error).strip() or type(error).__name__)
    tags: list[str] = []
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            return Answer(tuple(tags), result)
        if result.status in _COPY:
            # Nobody will send or read the data: a COPY … FROM stdin needs psql.
            connection.close()
            return Answer(
                tuple(tags), None, "COPY from or to the client is not possible here; only psql sends its data"
            )
        tag = (result.command_status or b"").decode("utf-8", "replace")
        if tag:
            tags.append(tag)
    return Answer(tuple(tags))


def _results(pgconn: PGconn) -> list[PGresult]:
    """All results, or those up to a COPY. Raises psycopg.Error when the connection is lost.

    By hand, because the driver's own loop asks the kernel twice as often, which costs as much as a small statement. libpq
    itself would wait where no signal can interrupt it: https://www.postgresql.org/docs/current/libpq-async.html
    """
    ready = select.poll()
    ready.register(pgconn.socket, select.POLLIN | select.POLLOUT)
    while pgconn.flush():
        ready.poll()
        pgconn.consume_input()
    ready.modify(pgconn.socket, select.POLLIN)
    results: list[PGresult] = []
    while True:
        while pgconn.is_busy():
            ready.poll()
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            return results
        results.append(result)
        if result.status in _COPY:
            return results


def _field(result: PGresult, field: DiagnosticField) -> str:
    return (result.error_field(field) or b"").decode("utf-8", "replace")


def server_error(answer: Answer, chunk: Chunk, sent: Statement | None = None) -> ServerError:
    """The failure of ``answer`` with its place. ``sent`` is the statement when it was sent alone, None for the chunk."""
    offset = sent.start if sent is not None else 0
    if answer.error is None:
        place = sent.place if sent else chunk.place(0)
        return ServerError("", answer.lost, place, statement=sent)
    position = _field(answer.error, DiagnosticField.STATEMENT_POSITION)
    statement = sent
    if position:
        index = int(position) - 1 + offset
        place = chunk.place(index)
        statement = sent or next((s for s in chunk.statements if s.start <= index <= s.end), None)
    else:
        # No position: every finished statement left a command tag, so the next one is to blame.
        if statement is None and len(answer.tags) < len(chunk.statements):
            statement = chunk.statements[len(answer.tags)]
        place = statement.place if statement else chunk.place(0)
    return ServerError(
        sqlstate=_field(answer.error, DiagnosticField.SQLSTATE),
        message=_field(answer.error, DiagnosticField.MESSAGE_PRIMARY),
        place=place,
        detail=_field(answer.error, DiagnosticField.MESSAGE_DETAIL),
        hint=_field(answer.error, DiagnosticField.MESSAGE_HINT),
        context=_field(answer.error, DiagnosticField.CONTEXT),
        statement=statement,
    )
