"""Watches what a script leaves behind in its session: settings, an open transaction, advisory locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.pq import TransactionStatus

from pytest_pgmigrate.model.evidence import SessionLeak

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.model.migration import Statement

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

# One round trip for everything: the settings and the advisory locks this session still holds.
_QUERY = (
    "SELECT ARRAY["
    + ", ".join(f"pg_catalog.current_setting('{name}', true)" for name in SETTINGS)
    + "]::text[], (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks"
    " WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()),"
    " (SELECT pg_catalog.string_agg(relname::text, ', ' ORDER BY relname) FROM pg_catalog.pg_class"
    " WHERE relnamespace = pg_catalog.pg_my_temp_schema() AND relkind IN ('r', 'S', 'v'))"
)


class SessionProbe:
    """Compares the session before and after a script."""

    name = "session"

    def __init__(self) -> None:
        self._session: psycopg.Connection[Any] | None = None
        self._before: list[str] = []

    def begin(self, session: psycopg.Connection[Any], control: psycopg.Connection[Any]) -> None:
        """Remember the settings; every step starts with the same ones, so once a session is enough."""
        if self._session is not session:
            self._session = session
            self._before = session.execute(_QUERY).fetchall()[0][0]

    def after_statement(self, statement: Statement) -> None:
        """Only what is left at the end counts."""

    def end(self) -> tuple[SessionLeak, ...]:
        """The leaks, after rolling back a transaction that was left open (itself the first leak)."""
        session = self._session
        if session is None or session.closed:
            return ()
        leaks = []
        if session.info.transaction_status is not TransactionStatus.IDLE:
            failed = session.info.transaction_status is TransactionStatus.INERROR
            leaks.append(SessionLeak("transaction", "none", "failed, still open" if failed else "open"))
            session.execute("ROLLBACK")
        now, locks, temporary = session.execute(_QUERY).fetchall()[0]
        for name, old, new in zip(SETTINGS, self._before, now, strict=True):
            if old != new:
                leaks.append(SessionLeak(name, old, new))
        if locks:
            leaks.append(SessionLeak("advisory lock", "none held", f"{locks} held"))
        if temporary:
            leaks.append(SessionLeak("temporary table", "none", temporary))
        return tuple(leaks)


PROBE = SessionProbe
