"""The up cut short, and then run again as the user's runner would: it must end where the clean run ended.

Only where a cut can leave something: an up in one transaction is taken back whole by the server
(https://www.postgresql.org/docs/current/tutorial-transactions.html), and is not tried, unless its session may keep a lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from pytest_pgmigrate.errors import ExecutionError
from pytest_pgmigrate.execution import volatile
from pytest_pgmigrate.execution.database import Watch
from pytest_pgmigrate.execution.drills import _held
from pytest_pgmigrate.execution.gate import Gate, usable
from pytest_pgmigrate.execution.states import compare
from pytest_pgmigrate.execution.states.line import Line
from pytest_pgmigrate.execution.trial import undone
from pytest_pgmigrate.model.finding import Part
from pytest_pgmigrate.model.interrupt import Cut, InterruptEvidence
from pytest_pgmigrate.model.locks import CONFLICTS, Mode
from pytest_pgmigrate.model.migration import Chunk, Direction, Script, Statement

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.drills import Context
    from pytest_pgmigrate.model.evidence import Step

PART = Part.INTERRUPT

KILL = "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())"
PATIENCE = "100ms"
"""lock_timeout of a run behind an open writer: the writer stays, so that no longer wait says more."""

_ONE_BY_ONE = Watch(locks=False, blocking=False)
_TIMEOUTS = ("SET", "RESET")


def run(context: Context) -> InterruptEvidence | None:
    """Terminate after each statement, and give up behind an open writer of each table that the up waits for."""
    script = context.migration.up
    whole = undone(script)
    if whole and not _held.may_hold(script):
        return None
    statements = _statements(script)
    # After the last statement there is nothing left to cut: that is the run without a down, which lane A has made.
    places = [] if whole else list(range(1, len(statements)))
    chosen = _sample(places, context.settings.interruptions)
    drill = _Drill(context)
    cuts = [cut for count in chosen if (cut := drill.terminated(count)) is not None]
    cuts += [cut for index, stop in _batches(context) if (cut := drill.between_batches(index, stop)) is not None]
    cuts += [cut for table in _waited_for(context.up) if (cut := drill.timed_out(table)) is not None]
    return InterruptEvidence(tuple(cuts), len(places), tuple(drill.notes))


class _Drill:
    """Cuts of one migration, each in a clone of its own."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.notes: list[str] = []

    def terminated(self, count: int) -> Cut | None:
        """End the session after ``count`` statements."""
        cut_short = _until(self._context.migration.up, count)
        statement = _statements(self._context.migration.up)[count - 1][1]
        database = self._context.space.clone_base(_ONE_BY_ONE)
        try:
            step = self._run(database, cut_short)
            if step.error is None or step.error.sqlstate not in ("57P01", ""):
                # It fails there already, which the clean run would have shown: the order of the rows, or a limit.
                return None
            return self._again(database, Cut("terminated", statement, count - 1))
        finally:
            self._context.space.spend(database)

    def between_batches(self, index: int, stop: int) -> Cut | None:
        """End the session at internal commit ``stop`` of a DO or CALL, statement ``index``: at the next one it looks up."""
        script = self._context.migration.up
        chunk, statement = _statements(script)[index]
        database = self._context.space.clone_base(_ONE_BY_ONE)
        try:
            if index and self._run(database, _first(script, index)).error is not None:
                return None
            session = database.session
            gate = Gate(session, Line(database.control))

            def at_stop() -> None:
                if gate.stops == stop:
                    database.control.execute("SELECT pg_catalog.pg_terminate_backend(%s)", (session.info.backend_pid,))

            answer = gate.run(statement.text, at_stop)
            if not answer.failed:
                return None
            return self._again(database, Cut("terminated", statement, index, stop=stop))
        except (psycopg.Error, ExecutionError) as error:
            self.notes.append(f"{chunk.file} could not be cut between its batches: {str(error).strip()}")
            return None
        finally:
            self._context.space.spend(database)

    def timed_out(self, table: str) -> Cut | None:
        """Run the up with a short lock_timeout while another session writes to ``table``."""
        database = self._context.space.clone_base(_ONE_BY_ONE)
        try:
            writer = self._context.cluster.connect(database.name, autocommit=False)
            try:
                # A row lock of its own is what CONCURRENTLY waits for: the transaction, not only the table.
                writer.execute(
                    sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(sql.Identifier(*table.split(".", 1)))
                )
                writer.execute("SELECT pg_catalog.pg_current_xact_id()")
                database.session.execute(f"SET lock_timeout = '{PATIENCE}'")
                step = self._run(database, _impatient(self._context.migration.up))
            finally:
                writer.close()
            if step.error is None or step.error.sqlstate != "55P03":
                return None
            statement, index = self._failed(step)
            return self._again(database, Cut("lock_timeout", statement, index, table, held=_held.held(step)))
        except psycopg.Error as error:
            self.notes.append(f"nothing could be tried behind a writer of {table}: {str(error).strip()}")
            return None
        finally:
            self._context.space.spend(database)

    def _run(self, database: Database, script: Script) -> Step:
        migration = replace(self._context.migration, up=script)
        return database.run("up cut short", migration, Direction.UP, watched=True)

    def _again(self, database: Database, cut: Cut) -> Cut:
        """What the cut left, and the whole up once more, as the tool sends it."""
        context = self._context
        left = compare(context.before, database.state())
        step = database.run("up after an interruption", context.migration, Direction.UP, watched=False)
        difference = compare(context.after, database.state())
        if difference:
            difference, _ = volatile.explain(database, context.notes, step, difference)
        return replace(cut, left=left, retry=step.error, difference=difference)

    def _failed(self, step: Step) -> tuple[Statement, int]:
        assert step.error is not None
        statements = [statement for _, statement in _statements(self._context.migration.up)]
        for index, statement in enumerate(statements):
            if step.error.statement is not None and statement.place == step.error.statement.place:
                return statement, index
        return statements[0], 0


# -- scripts ----------------------------------------------------------------------------------------------------------


def _statements(script: Script) -> list[tuple[Chunk, Statement]]:
    return [(chunk, statement) for chunk in script.chunks for statement in chunk.statements]


def _first(script: Script, count: int) -> Script:
    """The first ``count`` statements."""
    whole = _until(script, count)
    last = whole.chunks[-1]
    return replace(whole, chunks=(*whole.chunks[:-1], replace(last, statements=last.statements[:-1])))


def _batches(context: Context) -> Iterator[tuple[int, int]]:
    """Statements that commit in their middle by their own word, with the commits at which to cut: the first, the last but one."""
    if not usable(context.cluster):
        return
    for seen in context.up.watched:
        if seen.statement.kind in ("do_stmt", "call_stmt") and seen.stops:
            for stop in sorted({1, max(seen.stops - 1, 1)}):
                yield seen.index, stop


def _until(script: Script, count: int) -> Script:
    """The first ``count`` statements, and then the end of the session instead of whatever follows."""
    chunks: list[Chunk] = []
    for chunk in script.chunks:
        taken = chunk.statements[:count]
        count -= len(taken)
        if count <= 0:
            end = replace(taken[-1], text=KILL, kinds=("select_stmt",), relations=(), creates=())
            chunks.append(replace(chunk, statements=(*taken, end)))
            break
        chunks.append(chunk)
    return replace(script, chunks=tuple(chunks))


def _impatient(script: Script) -> Script:
    """The script without its own lock_timeout, statement by statement."""

    def kept(statement: Statement) -> bool:
        return not (statement.kind.startswith(_TIMEOUTS) and "lock_timeout" in statement.text.lower())

    chunks = [replace(chunk, statements=tuple(filter(kept, chunk.statements))) for chunk in script.chunks]
    return replace(script, chunks=tuple(chunk for chunk in chunks if chunk.statements))


def _sample(places: Sequence[int], most: int) -> Sequence[int]:
    """At most ``most`` of the places, evenly, the first and the last among them."""
    if len(places) <= most:
        return places
    step = (len(places) - 1) / max(most - 1, 1)
    return sorted({places[round(step * number)] for number in range(most)})


def _waited_for(up: Step) -> Iterator[str]:
    """Tables (schema.table) that existed before, whose writers the up has to wait for."""
    seen: set[str] = set()
    for statement in up.watched:
        concurrent = "CONCURRENTLY" in statement.statement.kind
        for lock in statement.taken:
            relation = lock.relation
            waits = Mode.ROW_EXCLUSIVE in CONFLICTS[lock.mode] or concurrent
            if waits and relation.holds_rows and not relation.new and relation.name not in seen:
                seen.add(relation.name)
                yield relation.name
