"""What all clusters share: everything that is said in SQL. Engines differ in start, stop and logs."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.engines.databases import Databases
from pytest_pgmigrate.engines.replica import flushed_position, replay_paused, wait_for_replay
from pytest_pgmigrate.engines.sessions import Session
from pytest_pgmigrate.errors import EngineError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pytest_pgmigrate.model.cluster import Node

OLDEST = 14
"""Oldest major version that works: pg_get_wal_replay_pause_state() came with it."""

OWN_SERVER = {
    # The user's PGSSLMODE, PGHOSTADDR … are meant for other servers; what is given here wins over the environment.
    "hostaddr": "",
    "sslmode": "disable",
    "gssencmode": "disable",
    "channel_binding": "prefer",
    "target_session_attrs": "any",
}

# A commit of ours must be flushed (or the replica never hears of it) but never wait for a synchronous standby, which
# execution uses to hold commits back.
MAINTENANCE_OPTIONS = "-c synchronous_commit=local -c statement_timeout=0 -c lock_timeout=0"


class SqlCluster:
    """One primary with its replica (or none); satisfies ``model.cluster.Cluster``."""

    file_copy = True
    """Whether clones are made by copying files: fastest, but each one is two checkpoints, so only on servers of ours."""

    def __init__(
        self,
        engine: str,
        token: str,
        primary: Node,
        replica: Node | None,
        *,
        maintenance_database: str = "postgres",
    ) -> None:
        self.engine = engine
        self.token = token
        self.primary = primary
        self.replica = replica
        self.version: tuple[int, ...] = ()
        self.capabilities: frozenset[str] = frozenset()
        self.notes: tuple[str, ...] = ()
        self._maintenance_database = maintenance_database
        self._session = Session(self._connect_maintenance, "the primary")
        self._replica_session: Session | None = None
        if replica is not None:
            self._replica_session = Session(self._connect_replica, "the replica")
        self._databases: Databases | None = None
        self._extensions: frozenset[str] | None = None
        self._closed = False
        self._owner_pid = os.getpid()
        atexit.register(self.close)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.engine} {'.'.join(map(str, self.version))} {self.token}>"

    @property
    def maintenance_database(self) -> str:
        """A database to connect to for CREATE DATABASE and server-wide views; nothing is created in it."""
        return self._maintenance_database

    def parameters(self, node: Node, database: str) -> dict[str, str]:
        """The libpq parameters of our own connections; an engine with a shorter way than TCP overrides this."""
        return node.parameters(database)

    def connect(
        self, database: str, *, replica: bool = False, autocommit: bool = True, options: str = ""
    ) -> psycopg.Connection[Any]:
        """Connect to a database. Raises EngineError without a replica, psycopg.OperationalError as psycopg does."""
        node = self.replica if replica else self.primary
        if node is None:
            raise EngineError(f"the {self.engine} engine was given no replica")
        parameters = self.parameters(node, database)
        options = f"{parameters.pop('options', '')} {options}".strip()
        if options or node.extra.get("hostaddr") == "":
            # Given even when empty for servers of ours: PGOPTIONS of the environment is not meant for them.
            parameters["options"] = options
        parameters |= {
            "connect_timeout": parameters.get("connect_timeout", "10"),
            "application_name": "pytest-pgmigrate",
            "client_encoding": "UTF8",
        }
        return psycopg.connect(autocommit=autocommit, **parameters)  # type: ignore[arg-type]

    def create_database(self, label: str, *, template: str | None = None) -> str:
        """Create a database and return its real name; ``template`` is one of ours. Raises EngineError."""
        return self._made().create(label, template)

    def drop_database(self, name: str) -> None:
        """Drop a database of this run, ending its sessions. Raises EngineError for any other name."""
        self._made().drop(name)

    def extensions(self) -> frozenset[str]:
        """Names in pg_available_extensions."""
        if self._extensions is None:
            self._extensions = frozenset(
                str(r[0]) for r in self._session.rows("SELECT name FROM pg_available_extensions")
            )
        return self._extensions

    def lsn(self) -> str:
        """The primary's current WAL position, flushed."""
        return flushed_position(self._session)

    def wait_for_replica(self, lsn: str | None = None, timeout: float = 30.0) -> float:
        """Wait until the replica has replayed ``lsn`` (default: now); returns seconds. Raises ReplicaTimeout."""
        return wait_for_replay(self._session, self._standby(), lsn or self.lsn(), timeout)

    def pause_replay(self) -> AbstractContextManager[None]:
        """Hold replay on the replica for the duration of the block. Raises EngineError where it may not be done."""
        if "pause_replay" not in self.capabilities:
            raise EngineError(f"the {self.engine} engine cannot pause replay: no replica, or no right to")
        return replay_paused(self._standby())

    def logs(self, role: str) -> str:
        """The last part of a server's log; empty where it cannot be read."""
        return ""

    def close(self) -> None:
        """Stop and remove everything; may be called again, and from atexit."""
        # A forked child inherits the atexit hook but owns nothing.
        if self._closed or os.getpid() != self._owner_pid:
            return
        self._closed = True
        try:
            self._before_stop()
        finally:
            self._session.close()
            if self._replica_session is not None:
                self._replica_session.close()
            self._stop()
            atexit.unregister(self.close)

    def keep(self) -> tuple[str, ...]:
        """Leave servers and databases as they are after this process; the next run removes them.

        Returns how to connect, a line a server. The cluster cannot be used through this object afterwards.
        """
        if self._closed:
            return ()
        self._closed = True
        atexit.unregister(self.close)
        self._session.close()
        if self._replica_session is not None:
            self._replica_session.close()
        self._let_go()
        nodes = [node for node in (self.primary, self.replica) if node is not None]
        return tuple(f"{node.role}: {self._psql(node)}" for node in nodes)

    def _psql(self, node: Node) -> str:
        """The command that connects a person to a kept server."""
        where = f"-h {node.host} -p {node.port} -U {node.user} -d {self._maintenance_database}"
        return f"PGPASSWORD={node.password} psql {where}"

    def _let_go(self) -> None:
        """Call off whatever would clean up when this process ends."""

    def _before_stop(self) -> None:
        """What needs the connections once more."""

    def _stop(self) -> None:
        """Stop servers, remove what was made; never raises for what is gone."""

    def _read_version(self) -> None:
        """Ask the primary for its version; raises EngineError for one older than we support."""
        number = int(self._session.value("SHOW server_version_num"))
        self.version = (number // 10000, number % 10000)
        if self.version[0] < OLDEST:
            shown = ".".join(map(str, self.version))
            raise EngineError(f"PostgreSQL {shown} is too old: version {OLDEST} or newer is needed")

    def _check_major(self, major: int | None) -> None:
        """Refuse another major version than the one asked for."""
        if major is not None and self.version[0] != major:
            raise EngineError(f"PostgreSQL {major} was asked for, the {self.engine} engine has {self.version[0]}")

    def _standby(self) -> Session:
        if self._replica_session is None:
            raise EngineError(f"the {self.engine} engine was given no replica")
        return self._replica_session

    def _made(self) -> Databases:
        if self._closed:
            raise EngineError(f"the {self.engine} cluster is closed")
        if self._databases is None:
            self._databases = Databases(
                self._session, self.connect, self.token, version=self.version, file_copy=self.file_copy
            )
        return self._databases

    def _connect_maintenance(self) -> psycopg.Connection[Any]:
        return self.connect(self._maintenance_database, options=MAINTENANCE_OPTIONS)

    def _connect_replica(self) -> psycopg.Connection[Any]:
        return self.connect(self._maintenance_database, replica=True, options="-c statement_timeout=0")
