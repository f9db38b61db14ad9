"""Runs one script the way the user's own tool would: exactly, or watched statement by statement under the same rule."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from psycopg.pq import DiagnosticField, TransactionStatus

from pytest_pgmigrate.execution.kinds import needs_gate
from pytest_pgmigrate.execution.probes._base import Probe
from pytest_pgmigrate.execution.send import Answer, send, server_error
from pytest_pgmigrate.execution.watching import Watcher
from pytest_pgmigrate.model.evidence import ServerError, StatementRun, Step
from pytest_pgmigrate.model.migration import Chunk, Direction, Script, Statement, TransactionRule

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import psycopg

    from pytest_pgmigrate.execution.blocking import Blocking
    from pytest_pgmigrate.execution.pacing import Pace
    from pytest_pgmigrate.execution.states.line import Line
    from pytest_pgmigrate.execution.states.wal import WalOracle

# These behave differently in an implicit transaction and between BEGIN and COMMIT, so such a chunk is sent as it is.
_IMPLICIT_ONLY = ("TXN SAVEPOINT", "TXN RELEASE", "TXN ROLLBACK_TO", "declare_cursor_stmt")

_OUTSIDE = (
    "TXN ",
    "SET",
    "RESET",
    "DISCARD",
    "discard_stmt",
    "lock_stmt",
    "declare_cursor_stmt",
    "constraints_set_stmt",
    "CREATE DATABASE",
    "DROP DATABASE",
    "CREATE TABLESPACE",
    "DROP TABLESPACE",
    "ALTER SYSTEM",
    "ALTER DATABASE SET TABLESPACE",
)


class Follower(Protocol):
    """Reads the state when the script is over, and gets ready for it before."""

    def prepare(self) -> None:
        """Called while the server runs a chunk or a statement, each time."""

    def ask(self) -> None:
        """Called when nothing more is sent and no transaction is open."""


@dataclass(slots=True)
class _Pass:
    """What one pass has collected so far."""

    runs: list[StatementRun] = field(default_factory=list)
    error: ServerError | None = None
    watcher: Watcher | None = None
    notes: list[str] = field(default_factory=list)


class Runner:
    """Sends scripts over one migration session. ``probes`` watch every step.

    ``line`` is a second connection; without it no statement is looked at on its own. ``gated``: whether commits may be
    held on this server; ``oracle``: reads its WAL; ``blocking``: tries the application's statements; ``after``: called
    with each statement that was sent on its own and passed; ``pace``: waits for the replica before each chunk, and before
    each statement that is sent as one. ``at_rest``, which the owner may set: called before each chunk and after each
    statement sent on its own, while no transaction is open.
    """

    def __init__(
        self,
        session: psycopg.Connection[Any],
        control: psycopg.Connection[Any],
        probes: Sequence[Probe] = (),
        line: Line | None = None,
        *,
        gated: bool = False,
        oracle: WalOracle | None = None,
        blocking: Blocking | None = None,
        after: Callable[[Statement], None] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.session = session
        self.control = control
        self.probes = probes
        # Most probes look at statements alone.
        self._beginning = [probe for probe in probes if type(probe).begin is not Probe.begin]
        self._ending = [probe for probe in probes if type(probe).end is not Probe.end]
        self._unseen: dict[str, object] = dict.fromkeys(probe.name for probe in probes)
        self.line = line
        self.gated = gated
        self.oracle = oracle
        self.blocking = blocking
        self.after = after
        self.pace = pace
        self.at_rest: Callable[[], None] | None = None
        self._settings: Mapping[str, str] | None = None
        self._follower: Follower | None = None

    def run(
        self,
        name: str,
        direction: Direction,
        script: Script,
        *,
        watched: bool,
        made: Collection[str] = (),
        follower: Follower | None = None,
    ) -> Step:
        """Run a script and return what was seen; the state it left is compared by the caller.

        With ``watched`` the statements are sent one by one inside the transaction rule of the user's tool, otherwise
        the chunks go exactly as the tool sends them. ``made``: tables that are as good as new, nobody waits for them.
        ``follower``: who reads the state next.
        """
        self._follower = follower
        for probe in self._beginning:
            probe.begin(self.session, self.control, script)
        started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        clock = time.perf_counter()
        done = _Pass()
        if watched and self.line is not None:
            done.watcher = Watcher(
                self.session,
                self.line,
                script,
                self.probes,
                gated=self.gated,
                oracle=self.oracle,
                made=made,
                blocking=self.blocking,
                settings=self._settings,
            )
        # Known for the next step only, and only after a step whose counters were asked to be flushed.
        self._settings = None
        for chunk in script.chunks:
            if done.error is None and not self.session.closed:
                if self.pace is not None and self.pace.limited:
                    self.pace.wait(str(chunk.place(0)))
                self._rest()
                self._chunk(chunk, done, watched)
        seconds = time.perf_counter() - clock
        if done.watcher is not None:
            done.watcher.finish()
        if follower is not None and self._idle():
            follower.ask()
        seen = self._unseen | {probe.name: probe.end() for probe in self._ending}
        watcher = done.watcher
        if watcher is not None and done.error is None:
            self._settings = watcher.settings
        return Step(
            name,
            direction,
            True,
            done.error,
            seconds,
            started,
            tuple(done.runs),
            tuple(watcher.seen) if watcher else (),
            (*done.notes, *watcher.end()) if watcher else (),
            seen=seen,
        )

    def _chunk(self, chunk: Chunk, done: _Pass, watched: bool) -> None:
        if chunk.rule is TransactionRule.NONE:
            self._each(chunk, chunk.statements, done)
        elif not watched or not _separable(chunk):
            self._whole(chunk, done)
        elif chunk.rule is TransactionRule.IMPLICIT and len(chunk.statements) == 1:
            self._each(chunk, chunk.statements, done)
        else:
            self._block(chunk, done)

    def _whole(self, chunk: Chunk, done: _Pass) -> None:
        explicit = chunk.rule is TransactionRule.EXPLICIT
        if done.watcher is not None:
            done.notes.append(
                f"{chunk.place(0)}: SAVEPOINT without BEGIN: what the single statements lock was not watched"
            )
        if explicit:
            send(self.session, "BEGIN")
        answer = send(self.session, chunk.text, self._meanwhile())
        if answer.failed:
            done.error = server_error(answer, chunk)
        if explicit and not self.session.closed:
            self._end(chunk, done)

    def _each(self, chunk: Chunk, statements: Sequence[Statement], done: _Pass) -> None:
        for number, statement in enumerate(statements):
            if number and self.pace is not None and self.pace.limited and self._idle():
                self.pace.wait(str(statement.place))
            if not self._one(chunk, statement, done):
                return

    def _one(self, chunk: Chunk, statement: Statement, done: _Pass) -> bool:
        watcher = done.watcher
        if watcher is None:
            clock = time.perf_counter()
            answer = send(self.session, statement.text, self._meanwhile())
            return self._done(chunk, statement, done, answer, time.perf_counter() - clock)
        idle = self._idle()
        watcher.before(statement)
        if idle and needs_gate(statement):
            return self._alone(chunk, statement, done, watcher)
        if idle and not _outside(statement):
            return self._wrapped(chunk, statement, done, watcher)
        clock = time.perf_counter()
        answer = send(self.session, statement.text)
        seconds = time.perf_counter() - clock
        if answer.failed:
            watcher.failed(statement, seconds)
        else:
            watcher.after(statement, seconds)
        return self._done(chunk, statement, done, answer, seconds)

    def _done(self, chunk: Chunk, statement: Statement, done: _Pass, answer: Answer, seconds: float) -> bool:
        if answer.failed:
            done.error = server_error(answer, chunk, statement)
            return False
        done.runs.append(StatementRun(statement, seconds, answer.tags[-1] if answer.tags else ""))
        if self.after is not None:
            self.after(statement)
        self._rest()
        return True

    def _rest(self) -> None:
        if self.at_rest is not None and self._idle():
            self.at_rest()

    def _idle(self) -> bool:
        return self.session.pgconn.transaction_status == TransactionStatus.IDLE

    def _meanwhile(self) -> Callable[[], None] | None:
        return None if self._follower is None else self._follower.prepare

    def _alone(self, chunk: Chunk, statement: Statement, done: _Pass, watcher: Watcher) -> bool:
        clock = time.perf_counter()
        answer = watcher.alone(statement)
        seconds = time.perf_counter() - clock
        watcher.after_alone(statement, seconds, failed=answer.failed)
        return self._done(chunk, statement, done, answer, seconds)

    def _wrapped(self, chunk: Chunk, statement: Statement, done: _Pass, watcher: Watcher) -> bool:
        """A statement in autocommit, between a BEGIN and a COMMIT of ours: nothing but the moment of the commit differs."""
        send(self.session, "BEGIN")
        clock = time.perf_counter()
        answer = send(self.session, statement.text)
        seconds = time.perf_counter() - clock
        if answer.failed:
            send(self.session, "ROLLBACK")
            if _wants_no_block(answer):
                return self._alone(chunk, statement, done, watcher)
            watcher.failed(statement, seconds)
            return self._done(chunk, statement, done, answer, seconds)
        watcher.after(statement, seconds)
        end = send(self.session, "COMMIT")
        return self._done(chunk, statement, done, end if end.failed else answer, seconds)

    def _block(self, chunk: Chunk, done: _Pass) -> None:
        """Several statements of one simple query, sent one by one with the same transaction boundaries.

        In an implicit transaction a BEGIN of the file makes a regular block of it, earlier statements included, and
        what follows a COMMIT starts the next implicit transaction.
        """
        own = False  # inside the file's own BEGIN … COMMIT
        for statement in chunk.statements:
            if statement.kind in ("TXN BEGIN", "TXN START") and not own:
                own = True
                idle = self._idle()
                if idle and not self._one(chunk, statement, done):
                    return
                continue
            if self._idle():
                if done.watcher is not None:
                    done.watcher.transaction()
                send(self.session, "BEGIN")
            if not self._one(chunk, statement, done):
                # A simple query that fails inside the file's own BEGIN leaves that transaction open and failed, an
                # implicit transaction ends with the error.
                if not own:
                    send(self.session, "ROLLBACK")
                return
            if statement.kind in ("TXN COMMIT", "TXN ROLLBACK"):
                own = False
        if not own:
            self._end(chunk, done)

    def _end(self, chunk: Chunk, done: _Pass) -> None:
        if self._idle():
            return
        answer: Answer = send(self.session, "ROLLBACK" if done.error else "COMMIT")
        if answer.failed and done.error is None:
            # Deferred constraints and triggers fail here.
            last = chunk.statements[-1] if chunk.statements else None
            done.error = server_error(answer, chunk, last)


def _outside(statement: Statement) -> bool:
    """What begins or ends a transaction, belongs to the session, or must fail where there is no transaction block."""
    return statement.kind.startswith(_OUTSIDE)


def _wants_no_block(answer: Answer) -> bool:
    """Refused for being in a transaction block (25001), or a routine that wants to commit there (2D000)."""
    return answer.error is not None and answer.error.error_field(DiagnosticField.SQLSTATE) in (b"25001", b"2D000")


def _separable(chunk: Chunk) -> bool:
    """Whether sending the statements one by one gives what sending them together gives."""
    if chunk.rule is TransactionRule.EXPLICIT:
        return True
    own = False  # inside the file's own BEGIN … COMMIT, which is sent as it is
    for statement in chunk.statements:
        if statement.kind in ("TXN BEGIN", "TXN START"):
            own = True
        elif statement.kind in ("TXN COMMIT", "TXN ROLLBACK"):
            own = False
        elif not own and statement.kind in _IMPLICIT_ONLY:
            return False
    return True
