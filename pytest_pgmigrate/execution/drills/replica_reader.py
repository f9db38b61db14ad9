"""The up with readers on the replica: what its locks, replayed there, do to those who read.

An AccessExclusive lock is the one table lock that is logged for standbys. There it is taken by the process that replays,
which waits for readers up to max_standby_streaming_delay and then cancels them
(https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-CONFLICT).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from pytest_pgmigrate.errors import ReplicaTimeout
from pytest_pgmigrate.execution.drills._standby import PATIENCE, Standby
from pytest_pgmigrate.execution.drills._standby_settings import standby_settings
from pytest_pgmigrate.execution.gate import usable
from pytest_pgmigrate.execution.probes._base import Probe
from pytest_pgmigrate.execution.runner import Runner
from pytest_pgmigrate.execution.states.line import Line
from pytest_pgmigrate.model.finding import Part
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.model.replica import ReaderSeen, ReplayCost, ReplayedLocks, ReplicaReader

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.drills import Context
    from pytest_pgmigrate.execution.look import Look
    from pytest_pgmigrate.model.watch import StatementSeen

PART = Part.REPLICA

MOST_TABLES = 8
"""Tables with a reader in one run; each is a connection."""

WORTH_TIMING = 1_000_000
"""WAL bytes of an up from which on its replay is timed; what writes less is replayed in a few milliseconds."""

_MATRIX = tuple(
    {"max_standby_streaming_delay": delay, "hot_standby_feedback": feedback}
    for delay in ("0", "-1")
    for feedback in ("off", "on")
)
_QUIET = "-c synchronous_commit=local -c lock_timeout=5000"


def run(context: Context) -> ReplicaReader | None:
    """Readers of every table that the up locks AccessExclusive; None when it locks none, and writes little."""
    if context.cluster.replica is None:
        return None
    try:
        return _run(context)
    except ReplicaTimeout as error:
        return ReplicaReader(notes=(f"readers on the replica: {error}",))


def _run(context: Context) -> ReplicaReader | None:
    tables = locked_tables(context.up.watched)
    size = sum(seen.wal_bytes for seen in context.up.watched)
    ours = usable(context.cluster)
    found, notes = ReplicaReader(), list[str]()
    if len(tables) > MOST_TABLES:
        notes.append(f"readers on the replica: only {MOST_TABLES} of {len(tables)} locked tables had one")
        tables = tables[:MOST_TABLES]
    if tables:
        if not ours:
            notes.append("readers on the replica: replay on a server that is not ours is not held up; locks were read")
        found = _with_readers(context, tables if ours else (), tables)
    matrix = _matrix(context, tables) if ours and context.settings.replica_matrix and worth(context) else ()
    timed = ours and "pause_replay" in context.cluster.capabilities
    replay = _replay_cost(context) if timed and (size >= WORTH_TIMING or context.settings.replica_matrix) else None
    if not (tables or matrix or replay):
        return None
    return ReplicaReader(found.locks, found.readers, matrix, replay, (*notes, *found.notes))


def locked_tables(watched: tuple[StatementSeen, ...]) -> tuple[str, ...]:
    """Tables that existed before and that the statements locked AccessExclusive, or an index of theirs."""
    locks = [lock for seen in watched if not seen.failed for lock in (*seen.taken, *seen.held)]
    exclusive = [lock.relation for lock in locks if lock.mode is Mode.ACCESS_EXCLUSIVE and not lock.relation.new]
    kinds = ("table", "partitioned table", "materialized view", "index", "partitioned index")
    return tuple(dict.fromkeys(relation.table for relation in exclusive if relation.kind in kinds))


def worth(context: Context) -> bool:
    """Whether readers can be met by more than locks: rows that were changed, which VACUUM then takes away."""
    return bool(locked_tables(context.up.watched)) or any(
        count.written and not count.relation.new for seen in context.up.watched for count in seen.counts
    )


# -- one run with readers ---------------------------------------------------------------------------------------------


class _ReplicaProbe(Probe):
    """Looks at the replica while the migration's session stands still after a statement."""

    name = "replica"

    def __init__(self, standby: Standby, *, everything: bool) -> None:
        self._standby = standby
        self._everything = everything
        self._known: tuple[int, ...] = ()
        self._transaction = -1
        self.locks: list[ReplayedLocks] = []
        self.readers: list[ReaderSeen] = []

    def at_stop(self, look: Look) -> None:
        """An internal commit: its record is written, and with it replay gives the locks back."""
        self._met(look)

    def after_statement(self, look: Look) -> Mapping[str, object]:
        """Have the statement replayed and look who was in the way."""
        if look.transaction != self._transaction:
            self._transaction, self._known = look.transaction, ()
        exclusive = [
            relation.name
            for oid, mode in look.locks.items()
            if mode is Mode.ACCESS_EXCLUSIVE and (relation := look.relations.get(oid)) and not relation.new
        ]
        if exclusive or look.alone or self._everything:
            self._met(look)
        if look.alone and exclusive:
            self.locks.append(ReplayedLocks(look.statement, look.index, tuple(sorted(exclusive)), held=False))
        elif exclusive:
            self._read_locks(look)
        return {}

    def _met(self, look: Look) -> None:
        for reader in self._standby.replay():
            self.readers.append(
                ReaderSeen(
                    reader.table,
                    reader.outcome,
                    self._standby.delay,
                    self._standby.feedback,
                    look.statement,
                    look.index,
                    reader.sqlstate,
                )
            )

    def _read_locks(self, look: Look) -> None:
        held = self._standby.held()
        fresh = [relation for oid in held if oid not in self._known and (relation := look.relations.get(oid))]
        self._known = held
        existed = [relation for relation in fresh if not relation.new and relation.kind != "toast table"]
        existed = [relation for relation in existed if not relation.name.startswith("pg_toast.")]
        if existed:
            tables = tuple(dict.fromkeys(relation.table for relation in existed))
            blocked = self._standby.blocked(tables)
            names = tuple(sorted(relation.name for relation in existed))
            self.locks.append(ReplayedLocks(look.statement, look.index, names, blocked))


def _with_readers(
    context: Context, readers: tuple[str, ...], tables: tuple[str, ...], *, everything: bool = False
) -> ReplicaReader:
    """Run the up in a clone, with a reader of each table in ``readers`` on the replica."""
    with _clone(context) as database, closing(Standby(context.cluster, database.name)) as standby:
        unread = [table for table in readers if not standby.open_reader(table)]
        probe = _ReplicaProbe(standby, everything=everything)
        with context.cluster.connect(database.name, options=_QUIET) as control:
            control.prepare_threshold = None
            gated = usable(context.cluster)
            runner = Runner(database.session, control, (probe,), Line(control), gated=gated)
            try:
                step = runner.run("up beside readers", Direction.UP, context.migration.up, watched=True)
            except ReplicaTimeout as error:
                return ReplicaReader(tuple(probe.locks), tuple(probe.readers), notes=(str(error),))
        notes = [f"readers on the replica: {table} cannot be read there" for table in unread]
        if step.error is not None:
            notes.append(f"readers on the replica: the up failed beside them: {step.error.message}")
        left = [reader for reader in standby.readers if not reader.outcome]
        calm = [ReaderSeen(reader.table, "undisturbed", standby.delay, standby.feedback) for reader in left]
        return ReplicaReader(tuple(probe.locks), (*probe.readers, *calm), notes=tuple(notes))


def _matrix(context: Context, tables: tuple[str, ...]) -> tuple[ReaderSeen, ...]:
    """The same under four combinations of settings."""
    written = [c.relation for s in context.up.watched for c in s.counts if c.written and not c.relation.new]
    read = tuple(dict.fromkeys((*tables, *(r.name for r in written if r.holds_rows))))[:MOST_TABLES]
    found: list[ReaderSeen] = []
    for wanted in _MATRIX:
        with standby_settings(context.cluster, wanted):
            found += _with_readers(context, read, read, everything=True).readers
    return tuple(found)


def _replay_cost(context: Context) -> ReplayCost | None:
    """What the replica needs for the up alone: replay is held back until all of its WAL has arrived."""
    cluster = context.cluster
    with _clone(context) as database, cluster.connect(cluster.maintenance_database, replica=True) as eyes:
        cluster.wait_for_replica(timeout=PATIENCE)
        before = cluster.lsn()
        database.hurry()
        with cluster.pause_replay():
            step = database.run("up while replay is held back", context.migration, Direction.UP, watched=False)
            after = cluster.lsn()
            deadline = time.monotonic() + PATIENCE
            while not eyes.execute("SELECT pg_last_wal_receive_lsn() >= %s::pg_lsn", (after,)).fetchall()[0][0]:
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.001)
        clock = time.monotonic()
        cluster.wait_for_replica(after, PATIENCE)
        seconds = time.monotonic() - clock
        size = int(eyes.execute("SELECT pg_wal_lsn_diff(%s, %s)", (after, before)).fetchall()[0][0])
    return None if step.error is not None else ReplayCost(size, seconds)


@contextlib.contextmanager
def _clone(context: Context) -> Iterator[Database]:
    database = context.space.clone_base()
    try:
        yield database
    finally:
        context.space.spend(database)
