"""What the probes saw of one watched step, statement by statement. Plain data, nothing judged yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.migration import Statement


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation of the examined database, as the catalog named it before the step (or, if ``new``, as it is now).

    ``name`` is qualified and unquoted (``public.users``); ``kind`` is one of ``table``, ``partitioned table``,
    ``index``, ``partitioned index``, ``toast table``, ``materialized view``, ``view``, ``sequence``, ``foreign table``,
    ``composite type``; ``table`` is the table an index or TOAST table belongs to, else the name itself.
    """

    oid: int
    name: str
    kind: str
    table: str
    new: bool = False
    """Made by the migration itself: nobody else can wait for it."""

    referenced: tuple[str, ...] = ()
    """Tables that this table's foreign keys point to, before the step."""

    parents: tuple[str, ...] = ()
    """The partitioned or inherited tables directly above it, before the step."""

    @property
    def holds_rows(self) -> bool:
        """A table, partition or materialized view (TOAST tables excepted)."""
        return self.kind in ("table", "partitioned table", "materialized view", "foreign table")


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock of the migration's session on a relation.

    ``since`` is the index (in the script) of the statement that first requested this mode in the transaction.
    ``source``: ``pg_locks`` (read before COMMIT), ``internal commit`` (read while a statement that commits by itself was
    held there), ``wal`` (a Standby/LOCK record: taken and given back before anyone could look), ``documented``
    (PostgreSQL's word, for locks that nobody can see: VACUUM's own).
    """

    relation: Relation
    mode: Mode
    since: int
    source: str = "pg_locks"
    stop: int = 0
    """Which internal commit, from 1, when ``source`` is ``internal commit``."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows that one statement read by full scans, inserted, updated and deleted in one relation."""

    relation: Relation
    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def written(self) -> int:
        """Rows inserted, updated or deleted."""
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True, slots=True)
class Blocked:
    """An application's statement that cannot run while the migration's statement is held.

    ``label`` is how a person says it (``INSERT into public.orders``); ``relation`` and ``wants`` are the lock it waits
    for, ``held`` the migration's. ``tried``: True when it was really run and timed out waiting for the lock, False when
    it ran through, None when it was only predicted (the reason is in the step's notes).
    """

    label: str
    table: str
    sql: str
    relation: Relation
    wants: Mode
    held: Mode
    tried: bool | None = None
    file: str = ""
    """The user's own query file it comes from."""


@dataclass(frozen=True, slots=True)
class StatementSeen:
    """One statement of a watched step with all that the probes saw of it.

    ``transaction`` numbers the transactions of the step from 0: statements with the same number share one. ``taken`` are
    the locks that this statement requested, ``held`` the strongest per relation in force when it had finished
    (``taken`` included); both hold only relations that existed before the step, indexes and TOAST tables included. For a
    statement that commits by itself both are over all its internal commits.
    """

    statement: Statement
    index: int
    transaction: int
    seconds: float = 0.0
    """Information only, never a verdict."""

    failed: bool = False
    taken: tuple[Lock, ...] = ()
    held: tuple[Lock, ...] = ()
    stops: int = 0
    """Internal commits at which it was held."""

    counts: tuple[Counts, ...] = ()
    """New relations included (``relation.new``)."""

    rewritten: tuple[Relation, ...] = ()
    """Tables and materialized views that existed before and got a new file, TRUNCATE excepted."""

    rebuilt: tuple[Relation, ...] = ()
    """Indexes that existed before and got a new file."""

    emptied: tuple[Relation, ...] = ()
    """Tables that TRUNCATE gave a new, empty file."""

    built: tuple[Relation, ...] = ()
    """New indexes on tables that existed before; ``table`` names the table."""

    wal_bytes: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings in force when the statement started: lock_timeout, statement_timeout, TimeZone, search_path, role, …"""

    blocked: tuple[Blocked, ...] = ()
    more: Mapping[str, object] = field(default_factory=dict)
    """What further probes say of the statement, by the probe's name."""

    def count(self, table: str) -> Counts | None:
        """The counts of one relation by qualified name, or None."""
        return next((c for c in self.counts if c.relation.name == table), None)

    def lock(self, name: str) -> Lock | None:
        """The strongest lock held on one relation when the statement had finished, or None."""
        return next((lock for lock in self.held if lock.relation.name == name), None)


@dataclass(frozen=True, slots=True)
class Scaled:
    """Rows that one statement read (or rewrote) in one relation at two data sizes."""

    index: int
    relation: str
    rows: tuple[int, int]
    """Rows the relation held before the step, small and large."""

    read: tuple[int, int]
    rewritten: tuple[bool, bool] = (False, False)

    @property
    def grows(self) -> bool:
        """O(n): what was read grew with the rows (at least half as much), or the relation was rewritten."""
        (small, large), (few, many) = self.rows, self.read
        return any(self.rewritten) or (large > small and 2 * (many - few) >= large - small)
