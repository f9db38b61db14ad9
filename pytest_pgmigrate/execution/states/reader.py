"""Reads the state of one database again and again, each time looking only at what may have changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.errors import ExecutionError
from pytest_pgmigrate.execution.states import oracles
from pytest_pgmigrate.execution.states.catalog import Catalog, Wrote
from pytest_pgmigrate.execution.states.catalogs import MIRRORED
from pytest_pgmigrate.execution.states.fetch import array
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
    from pytest_pgmigrate.execution.states.line import Answer
    from pytest_pgmigrate.execution.states.wal import WalOracle
    from pytest_pgmigrate.model.cluster import Cluster

_FILES = b"""
    select c.relname::text, pg_relation_filenode(c.oid)::int8, c.relisshared
    from pg_class c where c.relnamespace in (11, 99) and c.relkind in ('r', 't') and c.oid < 16384
"""
# Which of these files are catalogs': those of initdb have small OIDs.
_BELONG = b"select f from unnest($1::int8[]) f where pg_filenode_relation(0, f::oid)::oid < 16384"
_DATABASE = "select oid::int8 from pg_database where datname = current_database()"
_SNAPSHOT = "select pg_snapshot_xmin(pg_current_snapshot())::text"
_ROLE_CATALOGS = frozenset(
    ("pg_authid", "pg_auth_members", "pg_db_role_setting", "pg_shdescription", "pg_parameter_acl")
)
_LARGE_OBJECT_CATALOGS = frozenset(("pg_largeobject", "pg_largeobject_metadata"))
_MIRRORED = frozenset(catalog.name for catalog in MIRRORED)
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
        self._forget()

    @property
    def last(self) -> State | None:
        """The state as last read, without reading again."""
        return self._last

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The reader's connection (read only, in autocommit)."""
        if self._connection is None:
            self._connect()
        assert self._connection is not None
        return self._connection

    @property
    def position(self) -> str | None:
        """WAL position, flushed, up to which the last read saw everything; None where WAL is not read."""
        return self._start or None

    def read(self) -> State:
        """The state now. Raises ExecutionError."""
        with self._guard():
            return self._read()

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
                self._replica = ReplicaCheck(
                    self._cluster, self._database, self._exclude_schemas, self._exclude_tables, self._options
                )
            difference = self._replica.compare(self._last, self._catalog, self._tables, self._pending, position)
        if difference is not None:
            self._pending = Pending(self._xmin)
        return difference

    def pause(self) -> None:
        """Close the connections and keep what is known, so that the database can be cloned between two reads."""
        for connection in (self._connection, self._replica):
            if connection is not None:
                connection.close()
        self._connection = self._replica = None

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
        self._files: dict[tuple[bool, int], str] = {}
        self._users: set[int] = set()
        """Files that belong, or belonged, to relations of the user's."""
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

    def _read(self) -> State:
        connection, line = self.connection, self._line
        position, touched = self._look(connection)
        values: Answer | None = None
        if self._catalog is None:
            touched = None
            self._catalog = Catalog(line, self._exclude_schemas, self._exclude_tables)
            self._read_files()
            self._first(connection, self._catalog)
        else:
            names, unknown = self._names(touched)
            values = self._sequences.ask(line, touched, new="pg_sequence" in names)
            self._next(self._catalog, touched, names, unknown)
        if position.quiet:
            self._start, self._xmin = position.lsn, position.xmin
        self._sequences.read(line, self._catalog.sequences, touched, values)
        self._last = self._state(self._catalog)
        return self._last

    def _look(self, connection: psycopg.Connection[Any]) -> tuple[Position, Touched | None]:
        if self._oracle is not None:
            return self._oracle.look(self._start, self._database_oid)
        row = connection.execute(_SNAPSHOT, prepare=True).fetchone()
        assert row is not None
        return Position("", row[0], True), None

    def _read_files(self) -> None:
        rows = self._line.ask(_FILES).rows()
        self._files = {(shared, file): name for name, file, shared in rows if file}

    def _first(self, connection: psycopg.Connection[Any], catalog: Catalog) -> None:
        catalog.read()
        self._roles, self._role_names = read_roles_with_oids(connection)
        self._tables.update(connection, catalog, None)
        self._tables.read_large_objects(connection)
        self._pending = Pending(None)

    def _next(
        self,
        catalog: Catalog,
        touched: Touched | None,
        names: Mapping[str, frozenset[int] | None],
        unknown: set[int],
    ) -> None:
        if touched is not None and not touched:
            self._tables.update(self._line.connection, catalog, touched)
            return
        wrote = _wrote(names)
        everything = self._refresh_roles(names)
        catalog.update(wrote, self._xmin, everything=everything)
        if self._files_moved(catalog, unknown):
            # A catalog was rewritten (VACUUM FULL): what was written to its new file went unseen.
            catalog.read()
            touched, self._pending = None, Pending(None)
        tables = self._tables.update(self._line.connection, catalog, touched)
        if touched is None or not _LARGE_OBJECT_CATALOGS.isdisjoint(names):
            self._tables.read_large_objects(self._line.connection)
        self._pending = self._pending.joined(wrote, tables)

    def _names(self, touched: Touched | None) -> tuple[dict[str, frozenset[int] | None], set[int]]:
        """Catalogs written, with their blocks, and files that are no catalog's."""
        if touched is None:
            return dict.fromkeys(self._files.values()), set()
        names: dict[str, frozenset[int] | None] = {}
        unknown = set()
        for shared, files in ((False, touched.files), (True, touched.shared)):
            for file, blocks in files.items():
                name = self._files.get((shared, file))
                if name is not None:
                    names[name] = blocks
                elif not shared:
                    unknown.add(file)
        return names, unknown

    def _files_moved(self, catalog: Catalog, unknown: set[int]) -> bool:
        """Whether a catalog has another file now; asked only when a file was written that is nobody's."""
        unknown -= self._users
        if unknown:
            self._users.update(f for relation in catalog.relations.values() for f in (relation.file, relation.toast))
            self._users.update(sequence.file for sequence in catalog.sequences.values())
            unknown -= self._users
        if not unknown or not self._line.ask(_BELONG, array(unknown)).rows():
            return False
        self._read_files()
        return True

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
