"""Which files of which database the server wrote between two moments, read from its own WAL.

A change of a logged relation cannot reach the relation without a WAL record that names the block (write-ahead
logging: https://www.postgresql.org/docs/current/wal-intro.html), so what no record names has not changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from pytest_pgmigrate.model.cluster import Cluster

Blocks = frozenset[int]
SHARED = 0
"""The database OID that WAL gives for catalogs shared by all databases."""

_LIMIT = 16 * 1024 * 1024
_LIMIT_15 = 3 * 1024 * 1024

# Records that write a heap's main fork without changing what any query sees: row locks, hint bits, pruning,
# freezing, in-place statistics of pg_class; and the access methods of indexes.
# Whatever is not named here counts as a change.
_HARMFUL = """(
    resource_manager not in ('Btree', 'Hash', 'Gin', 'Gist', 'SPGist', 'BRIN')
    and not (resource_manager = 'XLOG' and record_type in ('FPI', 'FPI_FOR_HINT'))
    and not (resource_manager = 'Heap' and record_type in ('LOCK', 'INPLACE'))
    and not (resource_manager = 'Heap2' and record_type ~ '^(PRUNE|VACUUM|FREEZE|VISIBLE|LOCK_UPDATED)'))
"""
# A page written as a whole: how a file is filled that nobody had before (VACUUM FULL, SET LOGGED, an index).
_IMAGE = "(resource_manager = 'XLOG' and record_type = 'FPI')"

# A snapshot's xmax is one more than the last xid that ended: a running transaction may have a greater one and is then not
# listed. age() counts from the next xid to be given, so that 0 says that nothing at all is running.
_POSITION = """
    select pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text, pg_snapshot_xmin(s)::text,
           age(pg_snapshot_xmin(s)::xid) = 0
    from pg_current_snapshot() s
"""
_BLOCKS = f"""
    select reldatabase::int8, relfilenode::int8, array_agg(distinct relblocknumber) filter (where {_HARMFUL})
    from pg_get_wal_block_info($1, $2, false)
    where relforknumber = 0 and reldatabase in (0, $3) and ({_HARMFUL} or {_IMAGE})
    group by 1, 2
"""
_RECORDS_15 = f"""
    select block_ref, {_IMAGE} from pg_get_wal_records_info($1, $2)
    where block_ref is not null and block_ref <> '' and ({_HARMFUL} or {_IMAGE})
"""
_REFERENCE = re.compile(r"rel \d+/(\d+)/(\d+) (?:fork (\w+) )?blk (\d+)")


@dataclass(frozen=True, slots=True)
class Position:
    """A moment in the WAL. ``xmin``: every transaction older than it is over. ``quiet``: none was running."""

    lsn: str
    xmin: str
    quiet: bool


@dataclass(frozen=True, slots=True)
class Touched:
    """Blocks written, by relfilenode: of one database and of the catalogs shared by all."""

    files: Mapping[int, Blocks] = field(default_factory=dict)
    shared: Mapping[int, Blocks] = field(default_factory=dict)
    images: frozenset[int] = frozenset()
    """Files of the database that whole pages were written to, and nothing else."""

    def __bool__(self) -> bool:
        return bool(self.files or self.shared or self.images)


class WalOracle:
    """Says what was written between two positions; one persistent connection to the maintenance database."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        connection.cursor_factory = psycopg.RawCursor
        self._version = connection.info.server_version

    @classmethod
    def open(cls, cluster: Cluster) -> WalOracle | None:
        """Connect and create the extension ``pg_walinspect``; None where that is not ours to do or not possible.

        Nothing server-wide is changed on an ``external`` engine, PostgreSQL 14 has no such extension, and WAL of
        ``wal_level = minimal`` leaves changes out.
        """
        if cluster.engine == "external" or "superuser" not in cluster.capabilities or cluster.version[0] < 15:
            return None
        options = "-c synchronous_commit=local -c jit=off -c client_min_messages=error"
        connection = cluster.connect(cluster.maintenance_database, options=options)
        try:
            connection.execute("create extension if not exists pg_walinspect")
            level = connection.execute("select current_setting('wal_level')").fetchone()
        except psycopg.Error:
            connection.close()
            return None
        if level is None or level[0] == "minimal":
            connection.close()
            return None
        return cls(connection)

    def position(self) -> Position:
        """The position up to which everything committed so far is on disk, where it can be read."""
        insert, flush, xmin, quiet = self._position()
        if insert != flush:
            # A commit with synchronous_commit = off, or an abort, is not flushed yet; a commit of ours flushes all.
            self._connection.execute("select pg_logical_emit_message(true, 'pgmigrate', '')", prepare=True)
            _, flush, _, _ = self._position()
        return Position(flush, xmin, quiet)

    def touched(self, start: str, end: str, database: int) -> Touched | None:
        """Blocks written from ``start`` to ``end``; None when that cannot be told (everything may have changed)."""
        size = lsn_number(end) - lsn_number(start)
        if size == 0:
            return Touched()
        if size < 0 or size > (_LIMIT if self._version >= 160000 else _LIMIT_15):
            return None
        reader = self._blocks if self._version >= 160000 else self._records
        try:
            found = reader(start, end, database)
        except psycopg.Error:
            if self._connection.closed:
                raise
            return None  # the segment was recycled, or the extension dropped
        files = {key[1]: blocks for key, blocks in found.items() if key[0] == database and blocks}
        shared = {key[1]: blocks for key, blocks in found.items() if key[0] == SHARED and blocks}
        return Touched(files, shared, frozenset(key[1] for key, blocks in found.items() if not blocks))

    @property
    def closed(self) -> bool:
        """The connection was closed or lost."""
        return self._connection.closed

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _position(self) -> tuple[str, str, str, bool]:
        row = self._connection.execute(_POSITION, prepare=True).fetchone()
        assert row is not None
        return row[0], row[1], row[2], row[3]

    def _blocks(self, start: str, end: str, database: int) -> dict[tuple[int, int], Blocks]:
        rows = self._connection.execute(_BLOCKS, (start, end, database), prepare=True)
        return {(row[0], row[1]): frozenset(row[2] or ()) for row in rows}

    def _records(self, start: str, end: str, database: int) -> dict[tuple[int, int], Blocks]:
        found: dict[tuple[int, int], set[int]] = {}
        for text, image in self._connection.execute(_RECORDS_15, (start, end), prepare=True):
            for base, file, fork, block in _REFERENCE.findall(text):
                if fork in ("", "main") and int(base) in (SHARED, database):
                    blocks = found.setdefault((int(base), int(file)), set())
                    if not image:
                        blocks.add(int(block))
        return {key: frozenset(blocks) for key, blocks in found.items()}


def lsn_number(lsn: str) -> int:
    """``16/B374D848`` as a number of bytes."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)
