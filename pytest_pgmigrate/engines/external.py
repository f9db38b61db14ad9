"""The ``external`` engine: a server that somebody else runs, given by a DSN.

Nothing server-wide is changed. We create databases called ``pgmigrate_<token>_…`` and drop only those. A session that
holds an advisory lock made of the token says that a run is alive; databases without one are swept at the next start.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pytest_pgmigrate.engines.base import SqlCluster
from pytest_pgmigrate.engines.databases import drop_database
from pytest_pgmigrate.engines.names import new_token, token_of
from pytest_pgmigrate.engines.sessions import Session
from pytest_pgmigrate.engines.watchdog import Watchdog, module_environment
from pytest_pgmigrate.errors import EngineError
from pytest_pgmigrate.model.cluster import Availability, Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_pgmigrate.model.cluster import Cluster, Want

LOCK_CLASS = 0x50474D47
"""First key of the advisory lock (``PGMG``); the second is the token."""

_DSN_VARIABLE = "PGMIGRATE_REAP_DSN"

_RIGHTS = """
    SELECT rolsuper, rolcreatedb OR rolsuper, pg_is_in_recovery(),
           has_function_privilege('pg_control_system()', 'execute')
      FROM pg_roles WHERE rolname = current_user
"""
_MAY_PAUSE = """
    SELECT has_function_privilege('pg_wal_replay_pause()', 'execute')
       AND has_function_privilege('pg_wal_replay_resume()', 'execute')
"""
# Advisory locks belong to a database, pg_locks shows those of all. As another database's sessions may be ours too, a
# database in use is not abandoned either.
_ABANDONED = """
    SELECT datname FROM pg_database d
     WHERE datname ~ '^pgmigrate_[0-9a-f]{8}_[a-z0-9_]+$'
       AND pg_has_role(datdba, 'USAGE')
       AND NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid = %(class)s::oid
                          AND lpad(to_hex(objid::bigint), 8, '0') = substr(d.datname, 11, 8))
       AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE left(a.datname, 18) = left(d.datname, 18))
"""


class ExternalEngine:
    """The servers behind ``--pgmigrate-dsn`` (and ``--pgmigrate-replica-dsn``)."""

    name = "external"

    def probe(self, want: Want) -> Availability:
        """Whether the DSN answers and is of the wanted major version."""
        if not want.dsn:
            return Availability(False, "no DSN was given")
        try:
            with contextlib.closing(_connect(want.dsn, "the DSN")) as connection:
                major = connection.info.server_version // 10000
                where = f"PostgreSQL {major} at {connection.info.host}:{connection.info.port}"
        except EngineError as error:
            return Availability(False, str(error))
        if want.major is not None and major != want.major:
            return Availability(False, f"{where}, not {want.major}", major)
        return Availability(True, where, major)

    def start(self, want: Want, progress: Callable[[str], None]) -> Cluster:
        """Connect, check rights and replica, sweep. Raises EngineError saying what is missing."""
        if not want.dsn:
            raise EngineError("the external engine needs a DSN, e.g. postgresql://user@host/postgres")
        progress("connecting to the given server")
        primary, database = _node("primary", want.dsn)
        replica = _node("replica", want.replica_dsn)[0] if want.replica_dsn else None
        cluster = ExternalCluster(want.dsn, primary, replica, database)
        try:
            cluster._bring_up(want)
        except BaseException:
            cluster.close()
            raise
        return cluster

    def sweep(self) -> int:
        """Nothing can be swept without a DSN: ``start`` does it, on the server it was given."""
        return 0


class ExternalCluster(SqlCluster):
    """A primary that is not ours, with a replica when one was given."""

    file_copy = False

    def __init__(self, dsn: str, primary: Node, replica: Node | None, database: str) -> None:
        super().__init__("external", new_token(), primary, replica, maintenance_database=database)
        self._dsn = dsn
        self._claimed = False
        self._owner = Session(self._connect_owner, "the primary")
        self._watchdog: Watchdog | None = None

    def connect(
        self, database: str, *, replica: bool = False, autocommit: bool = True, options: str = ""
    ) -> psycopg.Connection[Any]:
        """Connect, after making sure that our claim stands: a migration may have ended the session that holds it."""
        if self._claimed:
            self._owner.rows("SELECT 1")
        return super().connect(database, replica=replica, autocommit=autocommit, options=options)

    def _bring_up(self, want: Want) -> None:
        superuser, may_create, standby, may_identify = self._session.rows(_RIGHTS)[0]
        if standby:
            raise EngineError("the DSN leads to a standby: give the primary's")
        if not may_create:
            raise EngineError(f"role {self.primary.user} may not create databases: ALTER ROLE … CREATEDB")
        self._read_version()
        self._check_major(want.major)
        self._owner.open()
        self._claimed = True
        self._watchdog = Watchdog(
            ["-m", "pytest_pgmigrate.engines.external", self.token], {**module_environment(), _DSN_VARIABLE: self._dsn}
        )
        sweep_server(self._session, self.connect)
        capabilities = {"superuser"} if superuser else set()
        notes = ["server settings are not changed on a server that is not ours"]
        if not superuser:
            notes.append(f"role {self.primary.user} is no superuser: what needs one was not judged")
        if want.settings:
            notes.append(f"not set on a server that is not ours: {', '.join(sorted(want.settings))}")
        if self._replica_session is None:
            notes.append("no replica was given: nothing about replication was judged")
        else:
            notes += self._check_replica(may_identify)
            capabilities.add("replica")
            if self._replica_session.value(_MAY_PAUSE):
                capabilities.add("pause_replay")
            else:
                notes.append("the role may not pause replay on the replica")
        self.capabilities = frozenset(capabilities)
        self.notes = tuple(notes)

    def _check_replica(self, may_identify: bool) -> list[str]:
        """Make sure that it is a standby, and of this primary; returns notes about what could not be made sure."""
        standby = self._standby()
        if not standby.value("SELECT pg_is_in_recovery()"):
            raise EngineError("the replica's DSN leads to a server that is no standby (pg_is_in_recovery() is false)")
        notes = []
        query = "SELECT system_identifier FROM pg_control_system()"
        if may_identify and standby.value("SELECT has_function_privilege('pg_control_system()', 'execute')"):
            if self._session.value(query) != standby.value(query):
                raise EngineError("the replica belongs to another cluster: its system_identifier is not the primary's")
        else:
            notes.append("whether the replica belongs to this primary could not be read (pg_control_system)")
        self.wait_for_replica(timeout=60)
        return notes

    def _before_stop(self) -> None:
        if self._databases is not None:
            self._databases.drop_all()
            # What a run that died meanwhile left goes as well.
            with contextlib.suppress(EngineError, psycopg.Error):
                sweep_server(self._session, self.connect)

    def _let_go(self) -> None:
        self._stop()

    def _psql(self, node: Node) -> str:
        # The user knows the password; it is not ours to print.
        return f"psql -h {node.host} -p {node.port} -U {node.user} -d {self._maintenance_database}"

    def _stop(self) -> None:
        self._claimed = False
        self._owner.close()
        if self._watchdog is not None:
            self._watchdog.dismiss()

    def _connect_owner(self) -> psycopg.Connection[Any]:
        connection = super().connect(self._maintenance_database, options="-c statement_timeout=0")
        with contextlib.suppress(psycopg.Error):  # 14 and newer; a pooler may refuse it
            connection.execute("SET idle_session_timeout = 0")
        number = int(self.token, 16)
        second = number - (1 << 32) if number >= 1 << 31 else number
        connection.execute("SELECT pg_advisory_lock_shared(%s::int, %s::int)", (LOCK_CLASS, second))
        return connection


def sweep_server(
    session: Session, connect: Callable[[str], psycopg.Connection[Any]], *, token: str | None = None
) -> int:
    """Drop the databases of dead runs (or of one, by its token) that our role may drop; returns how many runs."""
    swept = set()
    for (name,) in session.rows(_ABANDONED, {"class": LOCK_CLASS}):
        if token in (None, token_of(name)):
            with contextlib.suppress(psycopg.Error):
                drop_database(session, connect, name)
                swept.add(token_of(name))
    return len(swept)


def _connect(dsn: str, what: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(dsn, autocommit=True, connect_timeout=10, application_name="pytest-pgmigrate")
    except psycopg.Error as error:
        raise EngineError(f"{what} cannot be used: {' '.join(str(error).split())}") from error


def _node(role: str, dsn: str) -> tuple[Node, str]:
    """A server's connection facts as libpq resolved them (several hosts, a service file, defaults), and its database."""
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.Error as error:
        raise EngineError(f"not a DSN: {' '.join(str(error).split())}") from error
    # A DSN without a database means one called like the user, which servers seldom have.
    database = str(given.get("dbname") or os.environ.get("PGDATABASE") or "postgres")
    with contextlib.closing(
        _connect(
            f"{dsn}" if given.get("dbname") else psycopg.conninfo.make_conninfo(dsn, dbname=database),
            f"the {role}'s DSN",
        )
    ) as connection:
        info = connection.info
        user, host, port, password = info.user, info.host, info.port, info.password
    known = {"host", "port", "user", "password", "dbname", "application_name", "client_encoding", "service"}
    extra = {name: str(value) for name, value in given.items() if name not in known and value is not None}
    if "," in str(given.get("hostaddr", "")):
        extra.pop("hostaddr")
    return Node(role, host, port, user, password, extra), database


def reap(token: str) -> None:
    """The watchdog's errand: drop what one dead run left, once its last statement has ended on the server."""
    dsn = os.environ.pop(_DSN_VARIABLE)
    node, database = _node("primary", dsn)
    cluster = SqlCluster("external", token, node, None, maintenance_database=database)
    session = cluster._session
    deadline = time.monotonic() + 60
    pattern = f"pgmigrate_{token}_%"
    while session.rows("SELECT 1 FROM pg_database WHERE datname LIKE %s", (pattern,)) and time.monotonic() < deadline:
        sweep_server(session, cluster.connect, token=token)
        time.sleep(0.2)
    cluster.close()


ENGINE = ExternalEngine()

if __name__ == "__main__":
    reap(sys.argv[1])
