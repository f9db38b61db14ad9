"""One look at a migration's session: its locks, the rows it touched and the files it made, read before it commits.

``pg_locks`` shows the locks of every session to every session (https://www.postgresql.org/docs/current/view-pg-locks.html),
but counters and files of a transaction that is still open are known to its own session alone, so one query there reads
all of it. What a relation was called before is asked on a second connection, whose snapshot does not see the open
transaction: what it does not know is new, and nobody else can be waiting for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.ledger import SCHEMA
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.watch import Blocked, Relation

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.execution.states.line import Answer, Line
    from pytest_pgmigrate.model.migration import Statement

SETTINGS = (
    "lock_timeout",
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "TimeZone",
    "search_path",
    "role",
    "session_replication_role",
    "synchronous_commit",
    "max_parallel_workers_per_gather",
    "max_parallel_maintenance_workers",
)
KINDS = {
    "r": "table",
    "p": "partitioned table",
    "i": "index",
    "I": "partitioned index",
    "t": "toast table",
    "m": "materialized view",
    "v": "view",
    "S": "sequence",
    "f": "foreign table",
    "c": "composite type",
}
FIRST_USER_OID = 16384
"""Relations of the user's have OIDs from here on (FirstNormalObjectId)."""

_SETTINGS = (
    "pg_catalog.concat_ws(E'\\x01', "
    + ", ".join(f"coalesce(pg_catalog.current_setting('{name}', true), '')" for name in SETTINGS)
    + ")"
)
_COUNTERS = ("tuples_returned", "tuples_inserted", "tuples_updated", "tuples_deleted")
# Forgotten at the next moment of idleness, so that counters of one transaction never run into those of the next.
_FLUSH = "pg_catalog.pg_stat_force_next_flush()"
_HEAD = f"select pg_catalog.pg_current_wal_insert_lsn()::text, {_SETTINGS}"
_SESSION = """
    select l.relation::int8, l.mode, coalesce(c.relfilenode, 0)::int8, c.relkind::text, c.relname::text,
           (select n.nspname::text from pg_catalog.pg_namespace n where n.oid = c.relnamespace),
           (select x.indrelid::int8 from pg_catalog.pg_index x where x.indexrelid = c.oid),
           {counters}
    from pg_catalog.pg_lock_status() l left join pg_catalog.pg_class c on c.oid = l.relation
    where l.pid = pg_catalog.pg_backend_pid() and l.locktype = 'relation' and l.relation >= 16384 and l.granted
""".format(counters=", ".join(f"pg_catalog.pg_stat_get_xact_{name}(l.relation)" for name in _COUNTERS))
_QUALIFIED = "(select m.nspname || '.' || r.relname from pg_class r join pg_namespace m on m.oid = r.relnamespace where r.oid = {})"
_DESCRIBE = f"""
    select c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, c.relfilenode::int8,
           {_QUALIFIED.format("case when t.relkind = 't' then substring(t.relname from '[0-9]+$')::oid else t.oid end")},
           (select array_agg(distinct {_QUALIFIED.format("k.confrelid")}) from pg_constraint k
            where k.conrelid = c.oid and k.contype = 'f'),
           (select array_agg({_QUALIFIED.format("h.inhparent")} order by h.inhseqno) from pg_inherits h where h.inhrelid = c.oid)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join pg_index x on x.indexrelid = c.oid
    left join pg_class t on t.oid = coalesce(x.indrelid, c.oid)
    where {{which}}
"""
_SOME = _DESCRIBE.format(which="c.oid = any($1::oid[])").encode()
_ALL = _DESCRIBE.format(which="c.oid >= 16384").encode()
_LOCKED = _DESCRIBE.format(
    which="c.oid in (select l.relation from pg_lock_status() l where l.pid = $1 and l.locktype = 'relation')"
    " and c.oid >= 16384"
).encode()
_POSITION = b"select pg_current_wal_insert_lsn()::text"
_FILES = b"select c.oid::int8, c.relfilenode::int8 from pg_class c where c.oid >= 16384"
_INDEXES = b"select x.indexrelid::int8 from pg_index x where x.indrelid = any($1::oid[]) order by 1"
_TOTALS = """
    select c.oid::int8, {counters} from pg_class c where c.oid >= 16384 and c.relkind in ('r', 'm', 't')
""".format(counters=", ".join(f"pg_stat_get_{name}(c.oid)" for name in _COUNTERS)).encode()
_PENDING = """
    select c.oid::int8, {counters} from pg_catalog.pg_class c where c.oid >= 16384 and c.relkind in ('r', 'm', 't')
""".format(counters=", ".join(f"pg_catalog.pg_stat_get_xact_{name}(c.oid)" for name in _COUNTERS))
_HELD = b"""
    select l.relation::int8, l.mode from pg_lock_status() l
    where l.pid = $1 and l.locktype = 'relation' and l.relation >= 16384 and l.granted
"""
Numbers = tuple[int, int, int, int]
"""Rows read by full scans, inserted, updated, deleted."""

NOTHING: Numbers = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Look:
    """What one statement left to see. ``locks`` by relation OID, the strongest mode of each."""

    statement: Statement
    index: int
    transaction: int
    failed: bool = False
    locks: Mapping[int, Mode] = field(default_factory=dict)
    stops: tuple[Mapping[int, Mode], ...] = ()
    """Locks held at each internal commit, of a statement that commits by itself."""

    files: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """The file of each relation before and after the statement, where both are known."""

    counts: Mapping[int, Numbers] = field(default_factory=dict)
    relations: Mapping[int, Relation] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    start: str = ""
    end: str = ""
    """WAL insert positions before and after."""

    exclusive: frozenset[int] = frozenset()
    """Tables that were locked AccessExclusive at some moment, from the WAL; asked only where that may tell more."""

    named: tuple[int, ...] = ()
    """The tables that a statement which ran alone is about."""

    entered: tuple[int, ...] = ()
    """Indexes that existed before, of tables that rows were inserted into."""

    blocked: tuple[Blocked, ...] = ()
    """What of the application was blocked at this moment, or at one of the stops."""

    alone: bool = False
    """Ran outside any transaction block, so that nothing could be read before it committed."""


class Names:
    """What relations were called before the step, asked on a connection that does not see the open transaction.

    ``made``: names of relations that count as new although they are there: in a down, those that the up made.
    """

    def __init__(self, line: Line, made: Collection[str] = ()) -> None:
        self._line = line
        self._made = made
        self._rows: dict[int, tuple[Any, ...]] = {}
        self._complete = False
        self._asked: Answer | None = None

    def begin(self, *, everything: bool) -> None:
        """Forget; ``everything`` reads all relations now, because what commits on the way must still count as new."""
        self._rows = {}
        self._complete = everything
        if everything:
            self._take(self._line.ask(_ALL))

    def ask(self, pid: int) -> None:
        """Ask for all that the session has locked; the answer is taken in by ``learn``."""
        if not self._complete:
            self._asked = self._line.ask(_LOCKED, pid)
            self._line.send()

    def learn(self, oids: Iterable[int] = ()) -> None:
        """Take in what was asked for, and ask for what is still unknown."""
        if self._asked is not None:
            asked, self._asked = self._asked, None
            self._take(asked)
        elif not self._complete:
            wanted = [oid for oid in oids if oid not in self._rows]
            if wanted:
                self._take(self._line.ask(_SOME, _array(wanted)))

    def _take(self, answer: Answer) -> None:
        self._rows |= {row[0]: row for row in answer.rows()}

    def now(self, oid: int) -> Relation | None:
        """A relation that was made on the way and is there now."""
        rows = self._line.ask(_SOME, _array((oid,))).rows()
        return replace(self._relation(rows[0]), new=True) if rows else None

    def indexes(self, tables: Iterable[int]) -> tuple[int, ...]:
        """The indexes of these tables, as they were before the transaction."""
        rows = self._line.ask(_INDEXES, _array(tables)).rows()
        self.learn(oid for (oid,) in rows)
        return tuple(oid for (oid,) in rows)

    def files_now(self) -> dict[int, int]:
        """The file of every relation as it is now."""
        return dict(self._line.ask(_FILES).rows())

    def file(self, oid: int) -> int:
        """The file before the step; 0 when there is none, or the relation is new."""
        row = self._rows.get(oid)
        return int(row[4]) if row else 0

    def relation(self, oid: int) -> Relation | None:
        """The relation as it was before the step; None for one that did not exist."""
        row = self._rows.get(oid)
        return None if row is None else self._relation(row)

    def _relation(self, row: tuple[Any, ...]) -> Relation:
        oid, schema, name, kind, _, owner, referenced, parents = row
        own = f"{schema}.{name}"
        table = owner or own
        kind = KINDS.get(kind, kind)
        # Nobody but us waits for our own ledger.
        new = table in self._made or schema == SCHEMA
        return Relation(oid, own, kind, table, new, tuple(referenced or ()), tuple(parents or ()))


def _array(oids: Iterable[int]) -> str:
    return "{" + ",".join(map(str, oids)) + "}"


class Eyes:
    """Reads one migration session, from inside and from the second connection (``line``)."""

    def __init__(self, session: psycopg.Connection[Any], line: Line, made: Collection[str] = ()) -> None:
        self._session = session
        self._pid = session.info.backend_pid
        self._line = line
        self._flush = f", {_FLUSH}::text" if session.info.server_version >= 150000 else ""
        self._look = (f"{_HEAD}{self._flush}; {_SESSION}").encode()
        self.names = Names(line, made)

    def begin(self) -> tuple[str, dict[str, str]] | None:
        """WAL position and settings while the session is idle; counters start from zero. None when it refuses."""
        result = self._session.pgconn.exec_(f"{_HEAD}{self._flush}".encode())
        if not result.ntuples:
            return None
        return _text(result, 0), _settings(_text(result, 1))

    def pending(self) -> dict[int, Numbers]:
        """Counters that the idle session has not handed in: PostgreSQL 14 cannot be told to, and adds to them."""
        if self._flush:
            return {}
        result = self._session.pgconn.exec_(_PENDING.encode())
        cells = [[_cell(result, row, column) for column in range(result.nfields)] for row in range(result.ntuples)]
        return {int(oid or 0): numbers_of(numbers) for oid, *numbers in cells}

    def inside(self) -> tuple[str, dict[str, str], list[list[str | None]]] | None:
        """WAL position, settings and locked relations of the open transaction; None when it refuses to be asked."""
        # Both servers' processes work at the same time: this one reads locks, that one what they are on.
        self.names.ask(self._pid)
        pgconn = self._session.pgconn
        pgconn.send_query(self._look)
        results = []
        while (result := pgconn.get_result()) is not None:
            results.append(result)
        if len(results) < 2 or not results[0].ntuples or results[1].error_message:
            return None
        head, body = results
        rows = [[_cell(body, row, column) for column in range(body.nfields)] for row in range(body.ntuples)]
        return _text(head, 0), _settings(_text(head, 1)), rows

    def position(self) -> Answer:
        """The WAL position, asked for on the second connection; the answer comes while the session works."""
        answer = self._line.ask(_POSITION)
        self._line.send()
        return answer

    def held(self) -> dict[int, Mode]:
        """The session's locks as the second connection sees them."""
        return strongest((oid, Mode.of(mode)) for oid, mode in self._line.ask(_HELD, self._pid).rows())

    def resolve(self, names: Iterable[str]) -> tuple[int, ...]:
        """The relations that these names, as the user wrote them, mean in the session."""
        quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
        if not quoted:
            return ()
        query = f"select pg_catalog.to_regclass(n)::oid::int8 from pg_catalog.unnest(array[{quoted}]) n"
        result = self._session.pgconn.exec_(query.encode())
        return tuple(int(value) for row in range(result.ntuples) if (value := _cell(result, row, 0)))

    def totals(self) -> dict[int, Numbers]:
        """Counters of all tables as flushed so far."""
        return {row[0]: tuple(row[1:]) for row in self._line.ask(_TOTALS).rows()}


class Known(Mapping[int, Relation]):
    """Relations as they were named before the step, those not ``known`` yet looked up when asked for."""

    def __init__(self, eyes: Eyes, known: Mapping[int, Relation] | None = None) -> None:
        self._names = eyes.names
        self._found = dict(known or {})

    def __getitem__(self, oid: int) -> Relation:
        if oid not in self._found:
            self._names.learn((oid,))
            relation = self._names.relation(oid) or self._names.now(oid)
            if relation is None:
                raise KeyError(oid)
            self._found[oid] = relation
        return self._found[oid]

    def __iter__(self) -> Iterator[int]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def numbers_of(cells: list[str | None]) -> Numbers:
    """Counters as the server wrote them."""
    read, inserted, updated, deleted = (int(cell or 0) for cell in cells)
    return read, inserted, updated, deleted


def strongest(locks: Iterable[tuple[int, Mode]]) -> dict[int, Mode]:
    """The strongest mode of each relation."""
    found: dict[int, Mode] = {}
    for oid, mode in locks:
        found[oid] = max(mode, found.get(oid, mode))
    return found


def new_relation(row: list[str | None], tables: Mapping[int, str]) -> Relation:
    """A relation that only the session itself can see; ``tables`` names those that an index of it may be on."""
    oid, _, _, kind, name, schema, of_table = row[:7]
    own = f"{schema}.{name}" if name is not None else f"relation {oid}"
    table = tables.get(int(of_table), own) if of_table is not None else own
    return Relation(int(oid or 0), own, KINDS.get(kind or "", kind or "dropped"), table, True)


def _cell(result: Any, row: int, column: int) -> str | None:
    value = result.get_value(row, column)
    return None if value is None else value.decode("utf-8", "replace")


def _text(result: Any, column: int) -> str:
    return _cell(result, 0, column) or ""


def _settings(text: str) -> dict[str, str]:
    return dict(zip(SETTINGS, text.split("\x01"), strict=False))
