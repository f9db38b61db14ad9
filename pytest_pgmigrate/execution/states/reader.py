"""Reads the state of one database again and again, each time looking only at what may have changed."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.errors import ExecutionError
from pytest_pgmigrate.execution.states import oracles
from pytest_pgmigrate.execution.states.ahead import Ahead, Habit, Latest, Ran
from pytest_pgmigrate.execution.states.catalog import Catalog, Wrote
from pytest_pgmigrate.execution.states.catalogs import MIRRORED
from pytest_pgmigrate.execution.states.files import Files
from pytest_pgmigrate.execution.states.groups import GROUPS
from pytest_pgmigrate.execution.states.line import Line
from pytest_pgmigrate.execution.states.replica import Pending, ReplicaCheck
from pytest_pgmigrate.execution.states.roles import read_roles_with_oids
from pytest_pgmigrate.execution.states.sequences import Sequences
from pytest_pgmigrate.execution.states.settings import prepare_for_reading, reader_options
from pytest_pgmigrate.execution.states.tables import Tables
from pytest_pgmigrate.execution.states.wal import Position, Touched
from pytest_pgmigrate.model.state import Attributes, Difference, State

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.mirror import Blocks
    from pytest_pgmigrate.execution.states.sequences import Asked
    from pytest_pgmigrate.execution.states.wal import Look, WalOracle
    from pytest_pgmigrate.model.cluster import Cluster

_DATABASE = "select oid::int8 from pg_database where datname = current_database()"
_SNAPSHOT = "select pg_snapshot_xmin(pg_current_snapshot())::text"
_ROLE_CATALOGS = frozenset(
    ("pg_authid", "pg_auth_members", "pg_db_role_setting", "pg_shdescription", "pg_parameter_acl")
)
_LARGE_OBJECT_CATALOGS = frozenset(("pg_largeobject", "pg_largeobject_metadata"))
_MIRRORED = frozenset(catalog.name for catalog in MIRRORED)
_NOTHING = Ran()
_GROUPED = frozenset(name for group in GROUPS for name in group.catalogs)


class StateReader:
    """Bound to one database of a cluster, with a connection of its own that only reads.

    ``exclude_schemas`` and ``exclude_tables`` (bare or ``schema.table``) are as if they were not there. ``use_wal``
    False works as where WAL cannot be read: everything may have changed each time. Errors:
    ``ExecutionError`` when the connection is lost or a lock held by someone else keeps a definition from being read.
    """

    def __init__(
        self,
        cluster: Cluster,
        database: str,
        *,
        exclude_schemas: Collection[str] = (),
        exclude_tables: Collection[str] = (),
        use_wal: bool = True,
        lock_timeout: float = 10.0,
    ) -> None:
        self._cluster = cluster
        self._database = database
        self._exclude_schemas = tuple(exclude_schemas)
        self._exclude_tables = tuple(exclude_tables)
        self._use_wal = use_wal
        # Uncounted on servers of ours, so that what is read here is never taken for a migration's doing.
        uncounted = "" if cluster.engine == "external" else " -c track_counts=off"
        self._options = reader_options(lock_timeout) + uncounted
        self._connection: psycopg.Connection[Any] | None = None
        self._oracle: WalOracle | None = None
        self._acquired = False
        self._replica: ReplicaCheck | None = None
        self._pending: Pending
        self._ready: Ahead | None = None
        self._asked: tuple[Look | None, Ahead | None] | None = None
        self._forget()

    @property
    def last(self) -> State | None:
        """The state as last read, without reading again."""
        return self._last

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The reader's connection (read only, in autocommit)."""
        connection = self._connected()
        self._line.take_in()
        return connection

    @property
    def position(self) -> str | None:
        """WAL position, flushed, up to which the last read saw everything; None where WAL is not read."""
        return self._start or None

    def prepare(self, after: Ran) -> None:
        """Get the questions of the next read ready while a script of this kind still runs. Raises ExecutionError."""
        if self._ready is None and self._connection is not None:
            with self._guard():
                self._ready = self._ask_ahead(after)

    def ask(self, after: Ran) -> None:
        """Have the server look now; the next ``read`` takes in what it saw. Raises ExecutionError."""
        if self._oracle is not None and self._connection is not None and self._asked is None:
            with self._guard():
                self._asked = self._ask(after)

    def read(self, after: Ran = _NOTHING) -> State:
        """The state now, or when it was asked for. ``after``: what kind of script ran since the last read, as a hint what
        to look for. Raises ExecutionError.
        """
        with self._guard():
            return self._read(after)

    def compare_replica(self) -> Difference:
        """Whether the replica, caught up, holds what was last read here. Raises ExecutionError."""
        difference = self._compare_replica(None)
        assert difference is not None
        return difference

    def try_replica(self) -> Difference | None:
        """``compare_replica`` if the replica has caught up by now, None otherwise. Raises ExecutionError."""
        return self._compare_replica(self.position) if self.position is not None else None

    def ask_replica(self) -> None:
        """Have the replica answer ``try_replica`` while the primary works; nothing where that cannot be. Raises ExecutionError."""
        if self._replica is not None and self._catalog is not None and self.position is not None:
            with self._guard():
                self._replica.ask(self._catalog, self._pending, self.position)

    def _compare_replica(self, position: str | None) -> Difference | None:
        if self._last is None:
            self.read()
        assert self._last is not None
        assert self._catalog is not None
        with self._guard():
            if self._replica is None:
                try:
                    self._replica = ReplicaCheck(
                        self._cluster, self._database, self._exclude_schemas, self._exclude_tables, self._options
                    )
                except psycopg.OperationalError:
                    # A database that was just made may not have got there yet.
                    if position is None:
                        raise
                    return None
            difference = self._replica.compare(self._last, self._catalog, self._tables, self._pending, position)
        if difference is not None:
            self._pending = Pending(self._xmin)
        return difference

    def pause(self) -> None:
        """Close the connections and keep what is known, so that the database can be cloned between two reads."""
        for connection in (self._connection, self._replica):
            if connection is not None:
                connection.close()
        self._connection = self._replica = self._asked = self._ready = None

    def close(self) -> None:
        """Close the connections and forget everything. Idempotent."""
        self.pause()
        self._forget()
        if self._acquired:
            oracles.release(self._cluster)
            self._acquired, self._oracle = False, None

    # -- inside ------------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._last: State | None = None
        self._catalog: Catalog | None = None
        self._start: str | None = None
        self._xmin = "3"
        self._files = Files()
        self._habits: dict[Hashable, Habit] = {}
        """What scripts wrote, by their kind."""
        self._latest = Latest()
        self._tables = Tables()
        self._sequences = Sequences()
        self._roles: dict[str, Attributes] = {}
        self._role_names: dict[int, str] = {}
        self._pending = Pending(None)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.LockNotAvailable as error:
            self._abandon()
            raise ExecutionError(
                f"The state of database {self._database} could not be read within lock_timeout: another session still "
                f"holds a lock ({error.diag.message_primary or error}). Does a transaction stay open?"
            ) from error
        except psycopg.Error as error:
            self._abandon()
            raise ExecutionError(f"The state of database {self._database} could not be read: {error}") from error

    def _abandon(self) -> None:
        """After an error nothing half read may be believed."""
        self.close()

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connect()
        assert self._connection is not None
        return self._connection

    def _connect(self) -> None:
        self._connection = self._cluster.connect(self._database, options=self._options)
        prepare_for_reading(self._connection)
        if self._use_wal and not self._acquired:
            self._oracle = oracles.acquire(self._cluster)
            self._acquired = True
        self._line = Line(self._connection)
        row = self._connection.execute(_DATABASE).fetchone()
        assert row is not None
        self._database_oid: int = row[0]
        if self._catalog is not None:
            self._catalog.connect(self._line)

    def _read(self, after: Ran) -> State:
        connection, line = self._connected(), self._line
        look, ahead = self._asked or self._ask(after)
        self._asked = None
        position, touched = self._look(connection, look)
        values: Asked | None = None
        if self._catalog is None:
            touched = None
            self._catalog = Catalog(line, self._exclude_schemas, self._exclude_tables)
            self._files.read(line)
            self._first(connection, self._catalog)
        else:
            if ahead is not None and not (touched and ahead.holds(position)):
                ahead = None
            values = self._sequences.ask(line, touched, ahead.sequences if ahead is not None else None)
            names = self._next(self._catalog, touched, ahead)
            self._habits[after.kind] = Habit(names.keys() & _MIRRORED, self._catalog.kinds, self._catalog.beside)
        if position.quiet:
            self._start, self._xmin = position.lsn, position.xmin
        self._sequences.read(line, self._catalog.sequences, touched, values)
        self._last = self._state(self._catalog)
        return self._last

    def _ask(self, after: Ran) -> tuple[Look | None, Ahead | None]:
        if self._oracle is None:
            return None, None
        # What scripts of this kind changed the last time is asked while another process looks at the WAL.
        ahead = self._ready or self._ask_ahead(after)
        self._ready = None
        self._line.send()
        return self._oracle.ask(self._start, self._database_oid), ahead

    def _ask_ahead(self, after: Ran) -> Ahead | None:
        habit = self._habits.get(after.kind)
        if self._oracle is None or not self._start or self._catalog is None or habit is None or not habit.catalogs:
            return None
        blocks = self._latest.guess(habit.catalogs)
        named = self._catalog.among(after.words)
        if "pg_class" in blocks:
            blocks["pg_class"] |= self._catalog.mirror.blocks_of(named)
        if not habit.named:
            named = frozenset()
        return Ahead(self._line, habit, blocks, named, self._xmin, self._catalog.fetcher, self._sequences)

    def _look(self, connection: psycopg.Connection[Any], look: Look | None) -> tuple[Position, Touched | None]:
        if self._oracle is not None and look is not None:
            return self._oracle.take(look)
        row = connection.execute(_SNAPSHOT, prepare=True).fetchone()
        assert row is not None
        return Position("", row[0], True), None

    def _first(self, connection: psycopg.Connection[Any], catalog: Catalog) -> None:
        catalog.read()
        self._roles, self._role_names = read_roles_with_oids(connection)
        self._tables.update(connection, catalog, None)
        self._tables.read_large_objects(connection)
        self._pending = Pending(None)

    def _next(self, catalog: Catalog, touched: Touched | None, ahead: Ahead | None) -> Mapping[str, Blocks | None]:
        """Read what was ``touched``; returns the catalogs written."""
        names, unknown = self._files.written(touched)
        if touched is not None and not touched:
            self._tables.update(self._line.connection, catalog, touched)
            return names
        wrote = _wrote(names)
        self._latest.note(wrote.mirrored)
        everything = self._refresh_roles(names)
        # Asked with the rows and taken in after them.
        belong = self._files.ask(self._line, unknown)
        catalog.update(wrote, self._xmin, ahead, everything=everything)
        if self._files.moved(self._line, catalog, unknown, belong):
            # A catalog was rewritten (VACUUM FULL): what was written to its new file went unseen.
            catalog.read()
            touched, self._pending = None, Pending(None)
        tables = self._tables.update(self._line.connection, catalog, touched)
        if touched is None or not _LARGE_OBJECT_CATALOGS.isdisjoint(names):
            self._tables.read_large_objects(self._line.connection)
        self._pending = self._pending.joined(wrote, tables)
        return names

    def _refresh_roles(self, names: Collection[str]) -> bool:
        """Read roles again when their catalogs were written; True when one was renamed."""
        if not _ROLE_CATALOGS & set(names):
            return False
        before = self._role_names
        self._roles, self._role_names = read_roles_with_oids(self._line.connection)
        return any(self._role_names.get(oid, name) != name for oid, name in before.items())

    def _state(self, catalog: Catalog) -> State:
        tables, unreadable = self._tables.by_name()
        return State(catalog.objects, tables, self._sequences.by_name, self._roles, unreadable)


def _wrote(names: Mapping[str, frozenset[int] | None]) -> Wrote:
    mirrored = {name: blocks for name, blocks in names.items() if name in _MIRRORED}
    return Wrote(mirrored, [name for name in names if name in _GROUPED])
