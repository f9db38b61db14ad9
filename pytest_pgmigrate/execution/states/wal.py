"""Which files of which database the server wrote between two moments, read from its own WAL.

A change of a logged relation cannot reach the relation without a WAL record that names the block (write-ahead
logging: https://www.postgresql.org/docs/current/wal-intro.html), so what no record names has not changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from pytest_pgmigrate.execution.states.line import Line

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.line import Answer
    from pytest_pgmigrate.model.cluster import Cluster

Blocks = frozenset[int]
SHARED = 0
"""The database OID that WAL gives for catalogs shared by all databases."""

_LIMIT = 16 * 1024 * 1024
_LIMIT_15 = 3 * 1024 * 1024

# Left out are records that write a heap's main fork without changing what any query sees: row locks, hint bits, pruning,
# freezing, in-place statistics of pg_class; and the access methods of indexes. Whatever is not named here counts as a
# change. Most records are of B-trees: they go first, because this is asked of every block of every record.
_COUNTS = """(
    resource_manager <> 'Btree' and case resource_manager
    when 'Heap' then record_type not in ('LOCK', 'INPLACE')
    when 'Heap2' then not (starts_with(record_type, 'PRUNE') or starts_with(record_type, 'VACUUM')
        or starts_with(record_type, 'FREEZE') or starts_with(record_type, 'VISIBLE')
        or starts_with(record_type, 'LOCK_UPDATED'))
    when 'XLOG' then record_type <> 'FPI_FOR_HINT'
    else resource_manager not in ('Hash', 'Gin', 'Gist', 'SPGist', 'BRIN') end)
"""
# A page written as a whole: how a file is filled that nobody had before (VACUUM FULL, SET LOGGED, an index).
_IMAGE = "(resource_manager = 'XLOG' and record_type = 'FPI')"

# A snapshot's xmax is one more than the last xid that ended: a running transaction may have a greater one and is then not
# listed. age() counts from the next xid to be given, so that 0 says that nothing at all is running.
# Position and blocks in one statement: it runs before everything else of a read, and a round trip costs as much as it does.
_LOOK = """
    select (i = f)::text, f::text, pg_snapshot_xmin(s)::text, (age(pg_snapshot_xmin(s)::xid) = 0)::text, {blocks}
    from (select pg_current_wal_insert_lsn() i, pg_current_wal_flush_lsn() f, pg_current_snapshot() s offset 0) p
"""
# The place of the last one first.
_BLOCKS = f"""
    case when i = f and f - $1::pg_lsn between 1 and {_LIMIT} then (
        select concat(max(place), ';' || string_agg(concat_ws(' ', base, file, blocks), ';')) from (
            select reldatabase base, relfilenode file, max(end_lsn) place,
                array_agg(distinct relblocknumber) filter (where not {_IMAGE}) blocks
            from pg_get_wal_block_info($1::pg_lsn, f, false)
            where {_COUNTS} and relforknumber = 0 and reldatabase in (0, $2::oid)
            group by 1, 2) b) end
"""
# A commit with synchronous_commit = off, an abort, or what reading prunes is not flushed yet; from 17 on that can be
# asked for in passing.
_FLUSHING = """(select n as i, n as f, s from (select pg_current_snapshot() s,
        case when a = b then a else pg_logical_emit_message(false, 'pgmigrate', '', true) end n
        from (select pg_current_wal_insert_lsn() a, pg_current_wal_flush_lsn() b offset 0) p offset 0) q offset 0) p"""
_RECORDS_15 = f"""
    select block_ref, {_IMAGE} from pg_get_wal_records_info($1, $2)
    where block_ref is not null and block_ref <> '' and {_COUNTS}
""".encode()
_LOOK_16 = _LOOK.format(blocks=_BLOCKS).encode()
_LOOK_17 = (_LOOK[: _LOOK.index("from (")] + "from " + _FLUSHING).format(blocks=_BLOCKS).encode()
_LOOK_15 = _LOOK.format(blocks="null").encode()
_EXCLUSIVE = b"""
    select description from pg_get_wal_records_info($1, $2)
    where resource_manager = 'Standby' and record_type = 'LOCK'
"""
_FLUSH = b"select pg_logical_emit_message(true, 'pgmigrate', '')"
_LOCKED = re.compile(r"db (\d+) rel (\d+)")
_REFERENCE = re.compile(r"rel \d+/(\d+)/(\d+) (?:fork (\w+) )?blk (\d+)")


class Position(NamedTuple):
    """A moment in the WAL. ``xmin``: every transaction older than it is over. ``quiet``: none was running.

    ``last``: where the last change up to it ends that counts.
    """

    lsn: str
    xmin: str
    quiet: bool
    last: str = ""


class Touched(NamedTuple):
    """Blocks written, by relfilenode: of one database and of the catalogs shared by all."""

    files: Mapping[int, Blocks] = MappingProxyType({})
    shared: Mapping[int, Blocks] = MappingProxyType({})
    images: frozenset[int] = frozenset()
    """Files of the database that whole pages were written to, and nothing else."""

    def __bool__(self) -> bool:
        return bool(self.files or self.shared or self.images)


class Look(NamedTuple):
    """A look that was asked for."""

    start: str | None
    database: int
    text: bytes
    answer: Answer


class WalOracle:
    """Says what was written between two positions; one persistent connection to the maintenance database."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._line = Line(connection)
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

    def look(self, start: str | None, database: int) -> tuple[Position, Touched | None]:
        """The position up to which everything committed so far is on disk, and the blocks written since ``start``.

        None for the blocks when that cannot be told (everything may have changed).
        """
        return self.take(self.ask(start, database))

    def ask(self, start: str | None, database: int) -> Look:
        """Have the server look, and do not wait for it: ``take`` does."""
        newest = _LOOK_17 if self._version >= 170000 else _LOOK_16
        text = newest if self._version >= 160000 and start is not None else _LOOK_15
        look = Look(start, database, text, self._ask(text, start, database))
        self._line.send()
        return look

    def take(self, asked: Look) -> tuple[Position, Touched | None]:
        """What ``look`` returns, of a look asked for before."""
        start, database, text = asked.start, asked.database, asked.text
        try:
            same, flush, xmin, quiet, blocks = asked.answer.texts()
            if same != "true":
                # A commit of ours flushes all.
                self._line.ask(_FLUSH).texts()
                _, flush, xmin, quiet, blocks = self._ask(text, start, database).texts()
        except psycopg.Error:
            if self._connection.closed or text is _LOOK_15:
                raise
            # The segment was recycled, or the extension dropped.
            return self.look(None, database)[0], None
        assert flush is not None
        assert xmin is not None
        last, _, blocks = blocks.partition(";") if blocks is not None else ("", "", None)
        position = Position(flush, xmin, quiet == "true", last or flush)
        if start is None or flush == start:
            return position, None if start is None else Touched()
        if text is _LOOK_15:
            return position, self._records(start, flush, database)
        return position, None if blocks is None else _touched(_parsed(blocks), database)

    def exclusive(self, start: str, end: str, database: int) -> frozenset[int]:
        """Relations of the database that were locked AccessExclusive between two positions, for however short a time.

        Raises psycopg.Error when that part of the WAL is gone.
        """
        if not start or not end or start == end:
            return frozenset()
        # PostgreSQL 15 refuses a position that is not flushed yet.
        self._line.ask(_FLUSH).texts()
        rows = self._line.ask(_EXCLUSIVE, start, end).rows()
        found = {(int(base), int(oid)) for (text,) in rows for base, oid in _LOCKED.findall(text)}
        return frozenset(oid for base, oid in found if base == database)

    @property
    def closed(self) -> bool:
        """The connection was closed or lost."""
        return self._connection.closed

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, text: bytes, start: str | None, database: int) -> Answer:
        return self._line.ask(text, *(() if text is _LOOK_15 else (start, database)))

    def _records(self, start: str, end: str, database: int) -> Touched | None:
        """PostgreSQL 15 describes the blocks of a record in words."""
        if not 0 < lsn_number(end) - lsn_number(start) <= _LIMIT_15:
            return None
        try:
            rows = self._line.ask(_RECORDS_15, start, end).rows()
        except psycopg.Error:
            if self._connection.closed:
                raise
            return None
        found: dict[tuple[int, int], set[int]] = {}
        for text, image in rows:
            for base, file, fork, block in _REFERENCE.findall(text):
                if fork in ("", "main") and int(base) in (SHARED, database):
                    blocks = found.setdefault((int(base), int(file)), set())
                    if not image:
                        blocks.add(int(block))
        return _touched({key: frozenset(blocks) for key, blocks in found.items()}, database)


def _parsed(text: str) -> dict[tuple[int, int], Blocks]:
    """``5 1259 {3,4};…``; without blocks where only whole pages were written."""
    found = {}
    for item in text.split(";") if text else ():
        base, file, *blocks = item.split(" ")
        found[int(base), int(file)] = frozenset(map(int, blocks[0][1:-1].split(",")) if blocks else ())
    return found


def _touched(found: Mapping[tuple[int, int], Blocks], database: int) -> Touched:
    files = {key[1]: blocks for key, blocks in found.items() if key[0] == database and blocks}
    shared = {key[1]: blocks for key, blocks in found.items() if key[0] == SHARED and blocks}
    return Touched(files, shared, frozenset(key[1] for key, blocks in found.items() if not blocks))


def lsn_number(lsn: str) -> int:
    """``16/B374D848`` as a number of bytes."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)
