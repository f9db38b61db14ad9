"""CREATE and DROP DATABASE, for our own databases only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors, sql

from pytest_pgmigrate.engines.names import database_name, token_of
from pytest_pgmigrate.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import LiteralString

    from pytest_pgmigrate.engines.sessions import Session

_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"


class Databases:
    """The databases of one run. ``connect`` opens one of them (to clear what keeps it from being dropped)."""

    def __init__(
        self,
        session: Session,
        connect: Callable[[str], psycopg.Connection[Any]],
        token: str,
        *,
        version: tuple[int, ...],
        file_copy: bool,
    ) -> None:
        self._session = session
        self._connect = connect
        self._token = token
        # STRATEGY came with 15; earlier versions know nothing else than copying files.
        self._strategy = " STRATEGY file_copy" if file_copy and version[0] >= 15 else ""
        self._made: set[str] = set()
        self._used: set[str] = set()

    def create(self, label: str, template: str | None) -> str:
        """Create a database, empty or as a clone of one of ours; returns its name. Raises EngineError."""
        name = database_name(self._token, label, self._used)
        if template is None:
            self._create_empty(name)
        else:
            self._check(template, "use as a template")
            self._wait_until_left(template)
            self._run("CREATE DATABASE {} TEMPLATE {}" + self._strategy, name, template)
        self._used.add(name)
        self._made.add(name)
        return name

    def adopt(self, name: str, label: str) -> str:
        """Take over a database of an earlier run's that came with the data directory; returns its name in this run.

        Raises EngineError when there is none or it cannot be renamed.
        """
        ours = database_name(self._token, label, self._used)
        if token_of(name) is None:
            raise EngineError(f'refused to rename "{name}": not a name that pgmigrate gives')
        try:
            self._run("ALTER DATABASE {} RENAME TO {}", name, ours)
        except psycopg.Error as error:
            raise EngineError(f"database {name} could not be taken over: {error}") from error
        self._used.add(ours)
        self._made.add(ours)
        return ours

    def copied(self, other: Databases) -> None:
        """Know the databases of ``other``: this server is a copy of its server."""
        self._made |= other._made
        self._used |= other._used

    def drop(self, name: str) -> None:
        """Drop one of our databases, ending its sessions. Raises EngineError for any other name."""
        self._check(name, "drop")
        drop_database(self._session, self._connect, name)
        self._made.discard(name)

    def drop_all(self) -> None:
        """Drop what is left of this run, whatever one of them answers."""
        for name in sorted(self._made):
            try:
                self.drop(name)
            except (EngineError, psycopg.Error):
                continue

    def _create_empty(self, name: str) -> None:
        # template1 may hold what the server's owner put there, or another encoding; template0 never does.
        try:
            self._run("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'", name, "template0")
        except errors.InvalidParameterValue:
            # The server's default locale does not go with UTF8: "C" goes with every encoding.
            self._run("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'", name, "template0")

    def _run(self, statement: LiteralString, *names: str) -> None:
        try:
            self._session.run(sql.SQL(statement).format(*map(sql.Identifier, names)))
        except (errors.InsufficientPrivilege, errors.ObjectInUse, errors.DiskFull, errors.UndefinedFile) as error:
            raise EngineError(f"database {names[0]} could not be created: {error.diag.message_primary}") from error

    def _check(self, name: str, purpose: str) -> None:
        if name not in self._made:
            raise EngineError(f'refused to {purpose} "{name}": this run did not make it')

    def _wait_until_left(self, template: str) -> None:
        """Let sessions that were just closed go.

        CREATE DATABASE would wait for them too, but looks only every 100 ms.
        """
        deadline = time.monotonic() + 2
        while self._session.value(_SESSIONS, (template,)) and time.monotonic() < deadline:
            time.sleep(0.0005)


def drop_database(session: Session, connect: Callable[[str], psycopg.Connection[Any]], name: str) -> None:
    """Drop a database with a name of ours, with what a migration may have left to prevent it."""
    if token_of(name) is None:
        raise EngineError(f'refused to drop "{name}": not a name that pgmigrate gives')
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    _end_sessions(session, name)
    try:
        session.run(statement)
    except (errors.ObjectInUse, errors.WrongObjectType):
        _release(session, connect, name)
        session.run(statement)


def _end_sessions(session: Session, name: str) -> None:
    """End the sessions first: DROP DATABASE … WITH (FORCE) does it too, but then looks only every 100 ms."""
    session.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    deadline = time.monotonic() + 2
    while session.value(_SESSIONS, (name,)) and time.monotonic() < deadline:
        time.sleep(0.0005)


def _release(session: Session, connect: Callable[[str], psycopg.Connection[Any]], name: str) -> None:
    """Clear a template flag, prepared transactions, replication slots and subscriptions that keep a database alive."""
    identifier = sql.Identifier(name)
    session.run(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false ALLOW_CONNECTIONS true").format(identifier))
    with connect(name) as connection:
        query = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
        for (gid,) in connection.execute(query).fetchall():
            connection.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
        query = (
            "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
            " WHERE d.datname = current_database()"
        )
        for (subscription,) in connection.execute(query).fetchall():
            for action in ("ALTER SUBSCRIPTION {} DISABLE", "ALTER SUBSCRIPTION {} SET (slot_name = NONE)"):
                connection.execute(sql.SQL(action).format(sql.Identifier(subscription)))
            connection.execute(sql.SQL("DROP SUBSCRIPTION {}").format(sql.Identifier(subscription)))
