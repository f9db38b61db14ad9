"""Fixed statements sent to one server again and again: prepared once, several of them in one round trip.

A driver's ``execute`` costs more than most of these statements do, so they go through libpq's own functions in pipeline
mode: https://www.postgresql.org/docs/current/libpq-pipeline-mode.html
"""

from __future__ import annotations

import select
from collections import deque
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg.pq.abc import PGresult

_END: tuple[bytes, None] = (b"", None)
"""Stands for the end of what was sent together."""
_FAILED = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE, ExecStatus.PIPELINE_ABORTED)


def array(numbers: Iterable[int]) -> str:
    """An array of numbers as PostgreSQL's text."""
    return f"{{{','.join(map(str, numbers))}}}"


class Answer:
    """What a statement will bring back. Whoever looks at it first sends everything asked so far, and waits for it."""

    __slots__ = ("_line", "error", "result")

    def __init__(self, line: Line) -> None:
        self._line = line
        self.result: PGresult | None = None
        self.error: psycopg.Error | None = None

    def rows(self) -> list[tuple[Any, ...]]:
        """All rows, as Python values. Raises psycopg.Error."""
        return self._line.load(self._received())

    def texts(self) -> list[str | None]:
        """The first row as the server wrote it. Raises psycopg.Error."""
        result = self._received()
        values = [result.get_value(0, column) for column in range(result.nfields)]
        return [None if value is None else value.decode() for value in values]

    def columns(self) -> list[tuple[str, int]]:
        """Name and type OID of every column. Raises psycopg.Error."""
        result = self._received()
        return [((result.fname(n) or b"").decode(), result.ftype(n)) for n in range(result.nfields)]

    def _received(self) -> PGresult:
        if self.result is None and self.error is None:
            self._line.receive(self)
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


class Line:
    """A connection in autocommit mode. What is asked together runs in one transaction, in the order asked."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.version = connection.info.server_version
        self._pgconn = connection.pgconn
        self._transformer = Transformer(connection)
        self._names: dict[bytes, bytes] = {}
        self._asked: list[tuple[bytes, list[bytes | None], Answer]] = []
        self._flushes: set[Answer] = set()
        """Answers that the server is to send without waiting for those that follow."""
        self._expected: deque[tuple[bytes, Answer | None]] = deque()
        """What was sent and not yet received: statements run (with their answer) and prepared (without), and ends."""
        self._error: psycopg.Error | None = None
        self._count = 0
        self._poll = select.poll()
        self._poll.register(self._pgconn.socket, select.POLLIN)

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection, with nothing outstanding on it."""
        self._finish()
        return self._connection

    def take_in(self) -> None:
        """Receive all that was sent, whoever wanted it."""
        self._finish()

    def ask(self, sql: bytes, *parameters: str | int | None) -> Answer:
        """Have a statement run; its parameters are ``$1``, ``$2`` …"""
        answer = Answer(self)
        self._asked.append((sql, [None if p is None else str(p).encode() for p in parameters], answer))
        return answer

    def at_once(self, answer: Answer) -> None:
        """Have the server send this answer as soon as it has it, while it works on the next ones."""
        self._flushes.add(answer)

    def send(self) -> None:
        """Send what was asked, without waiting for an answer. Raises psycopg.Error when the connection is lost."""
        asked, self._asked = self._asked, []
        if not asked:
            return
        pgconn = self._pgconn
        if not self._expected:
            pgconn.enter_pipeline_mode()
        for sql, parameters, answer in asked:
            name = self._names.get(sql)
            if name is None:
                # Never the same name twice: what was prepared before a failure stays prepared.
                self._count += 1
                name = self._names[sql] = b"pgmigrate_%d" % self._count
                pgconn.send_prepare(name, sql)
                self._expected.append((sql, None))
            pgconn.send_query_prepared(name, parameters)
            self._expected.append((sql, answer))
            if answer in self._flushes:
                pgconn.send_flush_request()
        self._flushes.clear()
        pgconn.pipeline_sync()
        self._expected.append(_END)
        self._wait(sending=True)

    def receive(self, wanted: Answer) -> None:
        """Take in answers as far as ``wanted``, while the server works on the next ones. Raises psycopg.Error."""
        if all(answer is not wanted for _, answer in self._expected):
            self.send()
        while wanted.result is None and wanted.error is None and self._expected:
            self._take(*self._expected.popleft())
        if len(self._expected) == 1:
            # The end came with the last answer.
            self._finish()

    def load(self, result: PGresult) -> list[tuple[Any, ...]]:
        """The rows of a result."""
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)

    def _finish(self) -> None:
        """Take in all that was sent."""
        while self._expected:
            self._take(*self._expected.popleft())

    def _take(self, sql: bytes, answer: Answer | None) -> None:
        if (sql, answer) == _END:
            self._end()
            return
        result = self._next()
        if result is None:
            raise psycopg.OperationalError("the server sent fewer results than it was asked for")
        while self._pgconn.get_result() is not None:
            # After a whole result there is only the mark of its end, which came with it.
            pass
        if result.status in _FAILED:
            # The first failure is the cause: the server passes over everything sent after it.
            self._error = self._error or psycopg.errors.error_from_result(result)
            self._names.pop(sql, None)
        if answer is not None:
            answer.result, answer.error = result, self._error

    def _end(self) -> None:
        self._next()
        self._error = None
        if not self._expected:
            self._pgconn.exit_pipeline_mode()

    def _next(self) -> PGresult | None:
        if self._pgconn.is_busy():
            self._wait()
        return self._pgconn.get_result()

    def _wait(self, *, sending: bool = False) -> None:
        """Wait for all to be sent, or for a result; libpq itself would wait where no signal can interrupt it."""
        pgconn = self._pgconn
        if sending:
            while pgconn.flush():
                self._poll.modify(pgconn.socket, select.POLLIN | select.POLLOUT)
                self._poll.poll()
                self._poll.modify(pgconn.socket, select.POLLIN)
                pgconn.consume_input()
            return
        while pgconn.is_busy():
            self._poll.poll()
            pgconn.consume_input()
