"""The server crashes in the middle of the up, comes back, and the up is run again.

Exactly after commit k: the session is held there, its commit in the WAL and flushed, while it waits for a standby that
nobody is (``gate``). The server that is stopped then is a copy of the primary, made for this and thrown away.
https://www.postgresql.org/docs/current/wal-reliability.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import psycopg

from pytest_pgmigrate.errors import EngineError, ExecutionError
from pytest_pgmigrate.execution.database import Database
from pytest_pgmigrate.execution.drills._cutting import (
    ONE_BY_ONE,
    again,
    converged,
    first,
    now,
    run_cut,
    sample,
    statements,
    unlogged_tables,
)
from pytest_pgmigrate.execution.drills._standing import Standing, put_back, standing
from pytest_pgmigrate.execution.gate import Gate, ServerStopped, disarm
from pytest_pgmigrate.execution.kinds import SILENT, needs_gate
from pytest_pgmigrate.execution.states.line import Line
from pytest_pgmigrate.model.interrupt import Cut
from pytest_pgmigrate.model.migration import Script, TransactionRule

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.drills import Context
    from pytest_pgmigrate.model.cluster import Fork, Forks
    from pytest_pgmigrate.model.evidence import Step

_LOCAL = "-c synchronous_commit=local"
# age() counts from the next transaction ID to be given, so that both of these say which ones the held commit has.
_HELD = b"select backend_xid::text, age(backend_xid)::text from pg_stat_get_activity($1)"
# pg_xact_status: https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
_OUTCOME = """
SELECT pg_catalog.pg_xact_status(%(held)s::text::xid8) = 'committed',
       EXISTS (SELECT FROM generate_series(%(next)s::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) x
                WHERE pg_catalog.pg_xact_status(x::text::xid8) = 'committed')
"""


@dataclass(frozen=True, slots=True)
class Point:
    """Where to crash: after commit ``stop`` inside statement ``index``, or (0) when the statement has committed.

    ``whole``: nothing of the up is left to do then.
    """

    index: int
    stop: int = 0
    whole: bool = False


def crashes(context: Context, notes: list[str]) -> Iterator[Cut]:
    """A crash at each point of the up, and the up run again. ``notes`` takes in why something was not tried."""
    script, cluster = context.migration.up, context.cluster
    found = points(script, context.up, context.settings.interruptions)
    if "forks" not in cluster.capabilities:
        # Nothing was held there, so that only the text tells what commits in its middle.
        if found or any(map(needs_gate, script.statements)):
            notes.append(f"crash drill: engine {cluster.engine} cannot be stopped: its server is not ours to crash")
        return
    notes += _unheld(context.up)
    if not found:
        return
    try:
        with closing(_Copy(context)) as copy:
            unlike = copy.unlike()
            if unlike:
                notes.append(f"crash drill: on a copy of the server, without a replica, {unlike}")
                return
            for point in found:
                try:
                    yield copy.crash(point)
                except (ExecutionError, psycopg.Error) as error:
                    place = statements(script)[point.index][1].place
                    notes.append(f"crash drill: {place}: {_brief(error)}")
    except (EngineError, ExecutionError, psycopg.Error) as error:
        notes.append(f"crash drill: {_brief(error)}")


def _brief(error: Exception) -> str:
    """The first line of what it says; a lost connection may say nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _unheld(up: Step) -> Iterator[str]:
    """Statements that commit in their middle where nobody could hold them."""
    for seen in up.watched:
        setting = seen.settings.get("synchronous_commit", "local")
        if needs_gate(seen.statement) and not seen.stops and setting != "local":
            yield (
                f"crash drill: {seen.statement.place}: its commits could not be held: "
                f"the migration sets synchronous_commit to {setting}"
            )


def points(script: Script, up: Step, most: int) -> list[Point]:
    """Every commit of the up that can be told from its neighbours; at most ``most`` of a statement, and of statements."""
    stops = {seen.index: seen.stops for seen in up.watched if seen.stops}
    last = len(statements(script)) - 1
    after = [index for index in _committed(script) if index not in stops and index != last]
    found = [Point(index) for index in sample(after, most)]
    for index, number in stops.items():
        chosen = sample(range(1, number + 1), most)
        found += [Point(index, stop, whole=index == last and stop == number) for stop in chosen]
    return sorted(found, key=lambda point: (point.index, point.stop))


def _committed(script: Script) -> Iterator[int]:
    """Statements that something is committed with, by themselves or as the last of their transaction."""
    index = -1
    for chunk in script.chunks:
        inside = False
        for number, statement in enumerate(chunk.statements, 1):
            index += 1
            ends = statement.kind in ("TXN COMMIT", "TXN ROLLBACK")
            inside = (inside or statement.kind in ("TXN BEGIN", "TXN START")) and not ends
            alone = chunk.rule is TransactionRule.NONE or number == len(chunk.statements) or ends
            if alone and not inside and (ends or not statement.kind.startswith(SILENT)):
                yield index


class _Copy:
    """A copy of the primary, with a clone of the base for each crash."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._unlogged = unlogged_tables(context.before)
        self._spoilt = False
        self._fork = cast("Forks", context.cluster).fork()

    def close(self) -> None:
        """Give the server up."""
        self._fork.close()

    def unlike(self) -> str:
        """How the up comes out otherwise there even when nothing happens, in words; "" when it does not."""
        since, database = now(), self._clone()
        try:
            error, difference = converged(self._context, database, since, self._unlogged)
        finally:
            self._spend(database)
        if error is not None:
            return f"the up fails: {error.message}"
        return "the up comes to another state" if difference else ""

    def crash(self, point: Point) -> Cut:
        """Crash at one point and run the up again. Raises ExecutionError, EngineError, psycopg.Error."""
        context = self._context
        _, statement = statements(context.migration.up)[point.index]
        since, database = now(), self._clone()
        name = database.name
        # Until it is known better: what a crash that went wrong has done to the copy, nobody has looked at.
        self._spoilt = True
        try:
            before = point.index if point.stop else point.index + 1
            if before:
                step = run_cut(context, database, first(context.migration.up, before), goes_on=True)
                if step.error is not None:
                    raise ExecutionError(f"the up did not come to it: {step.error.message}")
            # Nothing of ours may be left to write when the server is gone.
            database.write_ledger()
            if point.stop:
                stood = crash_at(self._fork, database.session, database.control, statement.text, point.stop)
            else:
                stood = standing(database.control)
                # A commit that did not wait for its flush may be lost in a crash, or not: here it never is.
                self._fork.lsn()
                self._fork.crash()
                self._fork.restart()
        finally:
            database.release()
        database = self._open(name)
        try:
            put_back(database.control, stood)
            cut = Cut("crash", statement, point.index, stop=point.stop, whole=point.whole)
            return again(context, database, cut, since, self._unlogged)
        finally:
            self._spend(database)

    def _clone(self) -> Database:
        if self._spoilt:
            # What all databases of a server share is not put back there: another copy is quicker than that.
            self._fork.close()
            self._fork = cast("Forks", self._context.cluster).fork()
            self._spoilt = False
        return self._open(self._fork.create_database("crash", template=self._context.space.base))

    def _open(self, name: str) -> Database:
        return Database(self._fork, name, self._context.settings, fresh=False, watch=ONE_BY_ONE)

    def _spend(self, database: Database) -> None:
        last = database.reader.last
        self._spoilt = last is None or last.roles != self._context.before.roles or self._alters_system()
        database.release()
        if not self._spoilt:
            self._fork.drop_database(database.name)

    def _alters_system(self) -> bool:
        script = self._context.migration.up
        return any(statement.kind.startswith("ALTER SYSTEM") for statement in script.statements)


def crash_at(
    fork: Fork, session: psycopg.Connection[Any], control: psycopg.Connection[Any], text: str, stop: int
) -> Standing:
    """Send ``text`` in ``session``, crash the server exactly after its commit ``stop``, and start it again.

    ``control`` is another session of ours, and nobody else writes. Returns where the sequences stood. Raises
    ExecutionError when there is no such commit, and when the server came back without it or with more.
    """
    line, held = Line(control), list[int]()
    stood: dict[str, tuple[int, bool]] = {}
    gate = Gate(session, line)

    def at_stop() -> None:
        if gate.stops == stop:
            held.extend(int(value or 0) for value in line.ask(_HELD, session.info.backend_pid).texts())
            stood.update(standing(control))
            fork.crash()
            raise ServerStopped

    try:
        gate.run(text, at_stop)
    except ServerStopped:
        pass
    else:
        raise ExecutionError(f"the statement was not held at commit {stop}: it has {gate.stops} here")
    fork.restart()
    transaction, age = held
    check_outcome(fork, transaction, transaction + age, stop)
    return stood


def check_outcome(fork: Fork, held: int, following: int, stop: int) -> None:
    """Commit ``stop``, transaction ``held``, is there, and none from the transaction ``following`` on.

    Raises ExecutionError.
    """
    with fork.connect(fork.maintenance_database, options=_LOCAL) as connection:
        disarm(connection)
        there, more = connection.execute(_OUTCOME, {"held": held, "next": following}).fetchall()[0]
    if not there or more:
        raise ExecutionError(f"the server came back {'with more than' if there else 'without'} commit {stop}")
