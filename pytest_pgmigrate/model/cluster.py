"""Protocols between the rooms: what an engine provides, what execution needs of a cluster and of a seeder."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import psycopg


@dataclass(frozen=True, slots=True)
class Want:
    """What the user asked of an engine. ``major`` None means any supported one."""

    major: int | None = None
    image: str | None = None
    """Image of the docker engine, e.g. ``postgres:16``."""

    dsn: str | None = None
    replica_dsn: str | None = None
    containers: int = 2
    """Docker: 2 containers, or 1 with two servers in it."""

    pull: bool = False
    """Docker: whether a missing image may be pulled (only when the engine was asked for by name)."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """Extra server settings (postgresql.conf)."""

    content: str = ""
    """What the primary would hold if an earlier run had kept it: a digest, see ``Keeps``; "" for an empty server."""

    cache_bytes: int = 0
    """What everything that is kept between runs may take together."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an engine could start now, found without starting or pulling anything."""

    usable: bool
    reason: str
    """What would be used, or why not; one line for a person."""

    major: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """Connection facts of one server. ``password`` is kept out of repr."""

    role: str
    """``primary`` or ``replica``."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further libpq parameters (external DSNs: sslmode, …)."""

    def parameters(self, database: str) -> dict[str, str]:
        """Libpq connection parameters for one database of this server."""
        return {
            **self.extra,
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "password": self.password,
            "dbname": database,
        }


class Cluster(Protocol):
    """One primary with its replica, and the databases we made on it. Obtained from an engine, closed once."""

    engine: str
    version: tuple[int, ...]
    primary: Node
    replica: Node | None
    capabilities: frozenset[str]
    """Of ``replica``, ``superuser``, ``logs``, ``pause_replay``, ``server_settings``, ``keeps`` (then it is a ``Keeps``),
    ``forks`` (then it is a ``Forks``)."""

    notes: tuple[str, ...]
    """What could therefore not be judged, in words; shown in the summary."""

    def connect(
        self, database: str, *, replica: bool = False, autocommit: bool = True, options: str = ""
    ) -> psycopg.Connection[Any]:
        """Connect to a database made with create_database (or the maintenance one). ``options`` as libpq's (-c …)."""

    @property
    def maintenance_database(self) -> str:
        """A database to connect to for CREATE DATABASE and server-wide views; nothing is created in it."""

    def create_database(self, label: str, *, template: str | None = None) -> str:
        """Create a database and return its real name (prefixed, unique). ``template`` is a real name of ours."""

    def drop_database(self, name: str) -> None:
        """Drop a database made by create_database, ending sessions in it. Refuses any other name."""

    def extensions(self) -> frozenset[str]:
        """Names in pg_available_extensions."""

    def lsn(self) -> str:
        """The primary's current WAL insert position, flushed."""

    def wait_for_replica(self, lsn: str | None = None, timeout: float = 30.0) -> float:
        """Wait until the replica has replayed ``lsn`` (default: now). Returns seconds waited; raises ReplicaTimeout."""

    def pause_replay(self) -> AbstractContextManager[None]:
        """Stop replay on the replica for the duration of the block."""

    def logs(self, role: str) -> str:
        """The last part of a server's log, for error messages; empty where it cannot be read."""

    def keep(self) -> tuple[str, ...]:
        """Leave the servers running after this process and return how to connect; the next run's sweep removes them."""

    def close(self) -> None:
        """Stop and remove everything. Idempotent; never raises for what is already gone."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a server started with: the database that an earlier run kept, under its name in this run."""

    database: str
    facts: Mapping[str, Any]
    """What that run said about it: JSON values."""


class Keeps(Protocol):
    """A cluster that can be kept for later runs with the content that was wanted."""

    filled: Filled | None
    """That content, when it was there."""

    def remember(self, database: str, facts: Mapping[str, Any]) -> bool:
        """Keep the primary as it is now, with its one database of ours; whether that could be done.

        To be called when that content is there, nothing else is, and no transaction runs. Never raises: a run that cannot
        keep anything goes on.
        """


class Fork(Cluster, Protocol):
    """A copy of a primary as a server of its own, without a replica. Its databases have the names they have there."""

    def crash(self) -> None:
        """Stop it at once, as a loss of power would; every connection to it is lost."""

    def restart(self) -> None:
        """Start it again; returns when it has recovered and serves. Raises EngineError with the end of its log."""


class Forks(Protocol):
    """A cluster of ours whose primary can be copied into a server that may be crashed."""

    def fork(self) -> Fork:
        """A copy of the primary as it is now, for the caller to close; ends with the cluster. Raises EngineError.

        Unlogged tables are empty in it, as after any recovery.
        """


class Engine(Protocol):
    """A way to get PostgreSQL servers."""

    name: str

    def probe(self, want: Want) -> Availability:
        """Could this engine start what is wanted? Starts and pulls nothing."""

    def start(self, want: Want, progress: Callable[[str], None]) -> Cluster:
        """Start a primary with a streaming replica. Raises EngineError saying what to do."""

    def sweep(self) -> int:
        """Remove what earlier, killed runs left behind; returns how many runs were swept. Never touches a live run."""


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What seeding did to one table.

    ``status``: full; saturated (a unique index or sequence admits no more rows); partial; trigger-bypassed (filled with
    the table's own triggers off, for they refused every row); empty; skipped (the user wants none in it).
    """

    table: str
    asked: int
    filled: int
    status: str
    reason: str = ""
    cause: str = ""
    """Where the reason is an empty parent: the table at which that began, and its reason."""

    stub: str = ""
    """SQL of one line for a person to complete: the columns that need a value, the constraint that stopped us."""


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """A row with one value at the boundary of its column's type, as the server took it.

    ``table`` is ``schema.table``; ``name`` is what a person calls the value (``NULL``, ``''``, ``a duplicate``, ``-1``),
    ``value`` its text form; ``key`` the row's primary key as text, empty where the table has none.
    """

    table: str
    column: str
    name: str
    value: str | None
    key: Mapping[str, str | None] = field(default_factory=dict)


class Seeder(Protocol):
    """Fills tables with fake rows; made by room 3, used by room 4 through this protocol."""

    def read_schema(
        self,
        connection: psycopg.Connection[Any],
        *,
        exclude_schemas: Sequence[str],
        tables: Sequence[str] | None = None,
    ) -> object:
        """What ``tables`` (all when None) ask of rows now, for ``also`` of the other methods; only this seeder can read it."""

    def fill(
        self,
        connection: psycopg.Connection[Any],
        *,
        exclude_schemas: Sequence[str],
        exclude_tables: Sequence[str] = (),
        leave: Sequence[tuple[str, str]] = (),
        also: object = None,
    ) -> tuple[SeedReport, ...]:
        """Give every empty ordinary table rows, in foreign-key order; leave tables that have rows alone.

        ``exclude_tables`` (schema.table) stay empty, the columns of ``leave`` (table without schema, column) NULL where
        they may be. ``also``: the rows are to fit another version of the schema too, as far as tables and columns have
        one name.
        """

    def write_edge(
        self,
        connection: psycopg.Connection[Any],
        *,
        exclude_schemas: Sequence[str],
        tables: Sequence[str],
        wanted: Callable[[str, str, str], bool] | None = None,
        also: object = None,
    ) -> tuple[EdgeRow, ...]:
        """Add rows at the boundaries of each column to ``tables`` (schema.table) and return those the server took.

        ``wanted`` chooses among them by table, column and name of the value; the rows chosen are the same ones whatever
        else is written. ``also`` as in ``fill``, but for the edge value itself.
        """

    def fill_columns(
        self,
        connection: psycopg.Connection[Any],
        *,
        exclude_schemas: Sequence[str],
        columns: Sequence[tuple[str, str]],
    ) -> tuple[SeedReport, ...]:
        """Give columns (qualified table, column) that are NULL in every row plausible values, where constraints allow."""

    def write_more(
        self,
        connection: psycopg.Connection[Any],
        *,
        exclude_schemas: Sequence[str],
        rows: int,
        exclude_tables: Sequence[str] = (),
        also: object = None,
    ) -> tuple[SeedReport, ...]:
        """Add ``rows`` further rows to every table but those excluded, as an application would after a deploy.

        ``also`` as in ``fill``.
        """
