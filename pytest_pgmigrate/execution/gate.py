"""Holds a statement at each of its internal commits, so that the locks it has there can be read and tried.

A commit with ``synchronous_commit = on`` waits for a synchronous standby before it gives back its locks
(https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION). A standby that nobody is named after
never answers, so every commit of the one session with that setting stands still; cancelling ends only the wait, the
commit stands. All other sessions use ``synchronous_commit = local`` and notice nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq

from pytest_pgmigrate.errors import ExecutionError
from pytest_pgmigrate.execution.send import Answer, receive

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.line import Line
    from pytest_pgmigrate.model.cluster import Cluster

NOBODY = "pgmigrate_gate"
PATIENCE = 20.0
"""Seconds within which the server must have taken in the setting."""

_VIRTUAL = b"select l.virtualtransaction from pg_lock_status() l where l.pid = $1 and l.locktype = 'virtualxid' limit 1"
_WAITS = b"select a.wait_event from pg_stat_get_activity($1) a"
_CANCEL = b"select pg_cancel_backend($1)"
_RESET = "ALTER SYSTEM RESET synchronous_standby_names"
_RELOAD = "SELECT pg_reload_conf()"
_PROOF = b"select pg_catalog.pg_logical_emit_message(true, 'pgmigrate', 'gate')"


def usable(cluster: Cluster) -> bool:
    """Whether server settings are ours to change: never on an external server."""
    return cluster.engine != "external" and {"superuser", "server_settings"} <= cluster.capabilities


class ServerStopped(Exception):
    """Raised by an ``at_stop`` that has stopped the server: there is nobody left to let the session go."""


def disarm(connection: psycopg.Connection[Any]) -> None:
    """Take the setting back on a server that was stopped while it held a session, after it was started again."""
    for sql in (_RESET, _RELOAD):
        connection.execute(sql.encode())


class Gate:
    """For one migration session. ``line`` is another session of ours, a superuser's."""

    def __init__(self, session: psycopg.Connection[Any], line: Line) -> None:
        self._session = session
        self._line = line
        self._pid = session.info.backend_pid
        self.stops = 0
        self.opened = False
        """Whether the session had turned the waiting off by the time its statement was through."""

    def run(self, text: str, at_stop: Callable[[], None]) -> Answer:
        """Send ``text`` as one simple query and call ``at_stop`` at each internal commit, the session standing still.

        Raises ExecutionError when the gate cannot be armed, ServerStopped when ``at_stop`` does.
        """
        try:
            self._arm()
            # The proof was held too, and is no commit of the statement's.
            self.stops = 0
            self._session.pgconn.send_query(text.encode("utf-8"))
            self._watch(at_stop)
            answer = receive(self._session)
        except ServerStopped:
            raise
        except BaseException:
            # Whoever stopped the server and failed then left nobody to take the setting back from.
            with suppress(ExecutionError, psycopg.Error):
                self._disarm()
            raise
        self._disarm()
        return answer

    def open(self) -> None:
        """Hold no further commit, for an ``at_stop`` that ends the session: one with temporary tables commits as it goes.

        Nothing wakes it there but the setting: a session on its way out takes no cancel. Raises ExecutionError.
        """
        self._set(_RESET)

    # -- arming -----------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        self._set(f"ALTER SYSTEM SET synchronous_standby_names = '{NOBODY}'")
        self._session.execute("SET synchronous_commit = on")
        deadline = time.monotonic() + PATIENCE
        # The setting counts only once the checkpointer has read it: a commit of ours must be seen to stop.
        while not self._stopped_once():
            if time.monotonic() > deadline:
                raise ExecutionError("commits could not be held: the server did not take in synchronous_standby_names")

    def _set(self, text: str) -> None:
        for sql in (text, _RELOAD):
            result = self._line.connection.pgconn.exec_(sql.encode())
            if result.error_message:
                raise ExecutionError(
                    f"commits could not be held: {result.error_message.decode('utf-8', 'replace').strip()}"
                )

    def _stopped_once(self) -> bool:
        stops: list[int] = []
        self._session.pgconn.send_query(_PROOF)
        self._watch(lambda: stops.append(1))
        answer = receive(self._session)
        if answer.failed:
            raise ExecutionError("commits could not be held: the session refused a statement of ours")
        return bool(stops)

    def _disarm(self) -> None:
        self._set(_RESET)
        if self._session.closed or self._session.info.transaction_status is not pq.TransactionStatus.IDLE:
            return
        now = self._session.pgconn.exec_(b"SHOW synchronous_commit").get_value(0, 0)
        self.opened = now != b"on"
        if not self.opened:
            self._session.execute("SET synchronous_commit = local")

    # -- watching ---------------------------------------------------------------------------------------------------

    def _watch(self, at_stop: Callable[[], None]) -> None:
        """Return when the statement is through; the answer is left to be received."""
        pgconn, last = self._session.pgconn, ""
        while True:
            pgconn.flush()
            try:
                pgconn.consume_input()
            except psycopg.Error:
                return
            if not pgconn.is_busy() or pgconn.status == pq.ConnStatus.BAD:
                return
            stop = self._stop()
            if stop and stop != last:
                last = stop
                self.stops += 1
                at_stop()
                self._line.ask(_CANCEL, self._pid).rows()
            else:
                time.sleep(0.0002)

    def _stop(self) -> str:
        """The virtual transaction that stands at its commit, "" when none does.

        Read before and after the wait event, because the session may run on between two questions.
        """
        asked = [self._line.ask(text, self._pid) for text in (_VIRTUAL, _WAITS, _VIRTUAL)]
        before, waits, after = (answer.rows() for answer in asked)
        if before and waits and before == after and waits[0][0] == "SyncRep":
            return str(before[0][0])
        return ""
