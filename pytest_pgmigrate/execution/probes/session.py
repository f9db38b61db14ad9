"""Watches what a script leaves behind in its session: settings, an open transaction, advisory locks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from psycopg.pq import TransactionStatus

from pytest_pgmigrate.execution.kinds import only_definitions
from pytest_pgmigrate.execution.probes._base import Probe
from pytest_pgmigrate.model.evidence import SessionLeak

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.model.migration import Script

SETTINGS = (
    "search_path",
    "role",
    "session_authorization",
    "session_replication_role",
    "row_security",
    "synchronous_commit",
    "default_transaction_read_only",
    "lock_timeout",
    "statement_timeout",
    "idle_in_transaction_session_timeout",
)
TIMEOUTS = frozenset(name for name in SETTINGS if name.endswith("_timeout"))

# Sent as a simple query: a prepared statement would not outlive a DISCARD of the script's own.
_QUERY = (
    "SELECT "
    + ", ".join(f"pg_catalog.current_setting('{name}', true)" for name in SETTINGS)
    + ", pg_catalog.pg_my_temp_schema()"
)
_LOCKS = "SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = %s"
_TEMPORARY = (
    "SELECT string_agg(relname::text, ', ' ORDER BY relname) FROM pg_catalog.pg_class"
    " WHERE relnamespace = pg_catalog.pg_my_temp_schema() AND relkind IN ('r', 'S', 'v')"
)
_TEMPORARY_TEXT = re.compile("temp", re.IGNORECASE)


class SessionProbe(Probe):
    """Compares the session before and after a script."""

    name = "session"

    def __init__(self) -> None:
        self._session: psycopg.Connection[Any] | None = None
        self._control: psycopg.Connection[Any] | None = None
        self._before: list[str] = []
        self._may_leak = True

    def begin(self, session: psycopg.Connection[Any], control: psycopg.Connection[Any], script: Script) -> None:
        """Remember the settings; every step starts with the same ones, so once a session is enough."""
        self._control = control
        # Asking costs as much as many a migration does; definitions set nothing and lock nothing beyond themselves.
        self._may_leak = not only_definitions(script) or any(_TEMPORARY_TEXT.search(c.text) for c in script.chunks)
        if self._session is not session:
            self._session = session
            self._before = _values(session)

    def end(self) -> tuple[SessionLeak, ...]:
        """The leaks, after rolling back a transaction that was left open (itself the first leak)."""
        session, control = self._session, self._control
        if session is None or control is None or session.closed:
            return ()
        leaks = []
        if session.info.transaction_status is not TransactionStatus.IDLE:
            failed = session.info.transaction_status is TransactionStatus.INERROR
            leaks.append(SessionLeak("transaction", "none", "failed, still open" if failed else "open"))
            session.execute("ROLLBACK")
        if not self._may_leak:
            return tuple(leaks)
        now = _values(session)
        for name, old, new in zip(SETTINGS, self._before, now, strict=False):
            if old != new:
                leaks.append(SessionLeak(name, old, new))
        locks = self._advisory_locks(session, control)
        if locks:
            leaks.append(SessionLeak("advisory lock", "none held", f"{locks} held"))
        if now[-1] != "0":
            temporary = session.execute(_TEMPORARY).fetchall()[0][0]
            if temporary:
                leaks.append(SessionLeak("temporary table", "none", temporary))
        return tuple(leaks)

    @staticmethod
    def _advisory_locks(session: psycopg.Connection[Any], control: psycopg.Connection[Any]) -> int:
        return int(control.execute(_LOCKS, (session.info.backend_pid,)).fetchall()[0][0])


def _values(session: psycopg.Connection[Any]) -> list[str]:
    """The settings as text, and the OID of the session's temporary schema (0: it has none)."""
    result = session.pgconn.exec_(_QUERY.encode())
    return [(result.get_value(0, column) or b"").decode() for column in range(result.nfields)]


PROBE = SessionProbe
