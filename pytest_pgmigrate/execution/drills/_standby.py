"""A clone with readers on the replica's copy of it, and eyes on what replay does there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from pytest_pgmigrate.errors import ReplicaTimeout

if TYPE_CHECKING:
    from pytest_pgmigrate.model.cluster import Cluster

PATIENCE = 30.0
"""Seconds that replay may take for what nothing holds up."""

BRIEF = 1.0
"""Up to this max_standby_streaming_delay (seconds) the end of the reader is waited for, beyond it only its beginning."""

LOCK_TIMEOUT = "-c lock_timeout=5"
"""Milliseconds: a lock that replay holds for a session that stands still does not go away, however short the time-out,
and one that is not held is not waited for.
"""

_REPLAY = """
SELECT coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false),
       coalesce((SELECT a.wait_event_type = 'Lock' OR a.wait_event LIKE 'RecoveryConflict%%'
                 FROM pg_stat_activity a WHERE a.backend_type = 'startup'), false),
       ARRAY(SELECT a.pid FROM pg_stat_activity a WHERE a.pid = ANY (%s))
"""
_HOLDERS = """
SELECT DISTINCT h.pid FROM pg_locks w JOIN pg_locks h ON (h.database, h.relation) = (w.database, w.relation)
WHERE NOT w.granted AND h.granted AND h.pid = ANY (%s)
"""
# No session on a standby can lock a table itself in this mode, so that whoever holds it is replay; its process shows
# what it is only to those who may see.
_HELD = """
SELECT l.relation::int8 FROM pg_locks l
WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.relation >= 16384
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = %s)
ORDER BY 1
"""


@dataclass(slots=True)
class Reader:
    """A transaction on the replica that has read one table; ``outcome`` is empty while nothing has happened to it."""

    table: str
    connection: psycopg.Connection[Any]
    pid: int
    outcome: str = ""
    sqlstate: str = ""

    def end(self) -> None:
        """End the transaction, so that replay can go on; finds out how it was cancelled, if it was."""
        try:
            # Asked before leaving: a cancelled session tells only whoever speaks to it.
            self.connection.execute("SELECT 1")
            self.connection.rollback()
        except psycopg.Error as error:
            self.outcome, self.sqlstate = "cancelled", error.sqlstate or ""
        self.connection.close()


def qualified(name: str) -> sql.Identifier:
    """A relation's name (``schema.table``, unquoted) as SQL takes it."""
    schema, _, table = name.partition(".")
    return sql.Identifier(schema, table)


class Standby:
    """The replica as seen from its maintenance database, and readers in its copy of ``database``."""

    def __init__(self, cluster: Cluster, database: str) -> None:
        self._cluster = cluster
        self._database = database
        cluster.wait_for_replica(timeout=PATIENCE)
        self._eyes = cluster.connect(cluster.maintenance_database, replica=True)
        self.delay = self._show("max_standby_streaming_delay")
        self.feedback = self._show("hot_standby_feedback") == "on"
        self.readers: list[Reader] = []
        self._late: psycopg.Connection[Any] | None = None
        """A reader that comes after the locks; in no transaction between its questions."""

    def _show(self, name: str) -> str:
        return str(self._eyes.execute("SELECT current_setting(%s)", (name,)).fetchall()[0][0])

    def open_reader(self, table: str) -> bool:
        """Begin a transaction there that has read the table; False for what cannot be read there (unlogged tables)."""
        connection = self._cluster.connect(self._database, replica=True, autocommit=False)
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        try:
            connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(qualified(table)))
        except psycopg.Error:
            connection.close()
            return False
        self.readers.append(Reader(table, connection, connection.info.backend_pid))
        return True

    def close(self) -> None:
        """Leave the replica."""
        for reader in self.readers:
            reader.connection.close()
        if self._late is not None:
            self._late.close()
        self._eyes.close()

    # -- what replay does -------------------------------------------------------------------------------------------

    def replay(self) -> list[Reader]:
        """Have everything written so far replayed; returns the readers that it met, which are ended then.

        Raises ReplicaTimeout when replay stands still for another reason.
        """
        position, met = self._cluster.lsn(), list[Reader]()
        deadline, pause = time.monotonic() + PATIENCE, 0.0002
        while True:
            alive = [reader for reader in self.readers if not reader.outcome]
            done, waiting, pids = self._eyes.execute(_REPLAY, (position, [r.pid for r in alive])).fetchall()[0]
            gone = [reader for reader in alive if reader.pid not in pids]
            for reader in gone:
                reader.outcome = "cancelled"
                reader.end()
            met += gone
            if done:
                return met
            if waiting and not gone and not self._brief():
                met += self._release(alive)
            if time.monotonic() > deadline:
                raise ReplicaTimeout(f"the replica has not replayed {position} after {PATIENCE:.0f} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.02)

    def _brief(self) -> bool:
        """Whether a reader in the way is ended so soon that its end is waited for."""
        query = "SELECT setting::bigint FROM pg_settings WHERE name = 'max_standby_streaming_delay'"
        limit = int(self._eyes.execute(query).fetchall()[0][0])
        return 0 <= limit <= BRIEF * 1000

    def _release(self, alive: Sequence[Reader]) -> list[Reader]:
        """End the readers that replay waits for; which they are is known of locks, else it is all."""
        holders = {pid for (pid,) in self._eyes.execute(_HOLDERS, ([r.pid for r in alive],)).fetchall()}
        waits = self._eyes.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchall()[0][0]
        found = [reader for reader in alive if reader.pid in holders or not waits]
        for reader in found:
            reader.outcome = "waited"
            reader.end()
        return found

    def held(self) -> tuple[int, ...]:
        """OIDs of the relations on which replay holds an AccessExclusive lock now.

        https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-USERS
        """
        return tuple(oid for (oid,) in self._eyes.execute(_HELD, (self._database,)).fetchall())

    def blocked(self, tables: Iterable[str]) -> tuple[str, ...]:
        """Those of the tables that a new reader has to wait for."""
        if self._late is None:
            self._late = self._cluster.connect(self._database, replica=True, options=LOCK_TIMEOUT)
        found = []
        for table in tables:
            try:
                self._late.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(qualified(table)))
            except psycopg.errors.LockNotAvailable:
                found.append(table)
            except psycopg.Error:
                if self._late.info.transaction_status is TransactionStatus.UNKNOWN:
                    raise
        return tuple(found)
