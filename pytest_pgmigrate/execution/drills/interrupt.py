"""The up cut short, and then run again as the user's runner would: it must end where the clean run ended.

Only where a cut can leave something: an up in one transaction is taken back whole by the server
(https://www.postgresql.org/docs/current/tutorial-transactions.html), and is not tried, unless its session may keep a lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from pytest_pgmigrate.errors import ExecutionError
from pytest_pgmigrate.execution.drills import _held
from pytest_pgmigrate.execution.drills._crash import crashes
from pytest_pgmigrate.execution.drills._cutting import ONE_BY_ONE, again, first, now, run_cut, sample, statements
from pytest_pgmigrate.execution.gate import Gate, usable
from pytest_pgmigrate.execution.send import server_error
from pytest_pgmigrate.execution.states.line import Line
from pytest_pgmigrate.execution.trial import undone
from pytest_pgmigrate.model.finding import Part
from pytest_pgmigrate.model.interrupt import Cut, InterruptEvidence
from pytest_pgmigrate.model.locks import CONFLICTS, Mode
from pytest_pgmigrate.model.migration import Chunk, Script, Statement

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.drills import Context
    from pytest_pgmigrate.model.evidence import Step

PART = Part.INTERRUPT

KILL = "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())"
PATIENCE = "100ms"
"""lock_timeout of a run behind an open writer: the writer stays, so that no longer wait says more."""

# admin_shutdown, or the connection is gone before that arrives.
_ENDED = ("57P01", "")
_TIMEOUTS = ("SET", "RESET")


def run(context: Context) -> InterruptEvidence | None:
    """Terminate after each statement, give up behind an open writer of each table that the up waits for, crash if asked."""
    script = context.migration.up
    whole = undone(script)
    if whole and not _held.may_hold(script):
        return None
    every = statements(script)
    # After the last statement there is nothing left to cut: that is the run without a down, which lane A has made.
    places = [] if whole else list(range(1, len(every)))
    chosen = sample(places, context.settings.interruptions)
    drill = _Drill(context)
    cuts = [cut for count in chosen if (cut := drill.terminated(count)) is not None]
    cuts += [cut for index, stop in _batches(context) if (cut := drill.between_batches(index, stop)) is not None]
    cuts += [cut for table in _waited_for(context.up) if (cut := drill.timed_out(table)) is not None]
    if context.settings.crash:
        cuts += crashes(context, drill.notes)
    return InterruptEvidence(tuple(cuts), len(places), tuple(drill.notes))


class _Drill:
    """Cuts of one migration, each in a clone of its own."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.notes: list[str] = []

    def terminated(self, count: int) -> Cut | None:
        """End the session after ``count`` statements."""
        cut_short = _until(self._context.migration.up, count)
        statement = statements(self._context.migration.up)[count - 1][1]
        since, database = now(), self._context.space.clone_base(ONE_BY_ONE)
        try:
            step = run_cut(self._context, database, cut_short)
            if step.error is None or step.error.sqlstate not in _ENDED:
                # It fails there already, which the clean run would have shown: the order of the rows, or a limit.
                return None
            return again(self._context, database, Cut("terminated", statement, count - 1), since)
        finally:
            self._context.space.spend(database)

    def between_batches(self, index: int, stop: int) -> Cut | None:
        """End the session at internal commit ``stop`` of a DO or CALL, statement ``index``: at the next one it looks up."""
        script = self._context.migration.up
        chunk, statement = statements(script)[index]
        since, database = now(), self._context.space.clone_base(ONE_BY_ONE)
        try:
            if index and run_cut(self._context, database, first(script, index), goes_on=True).error is not None:
                return None
            session = database.session
            gate = Gate(session, Line(database.control))

            def at_stop() -> None:
                if gate.stops == stop:
                    database.control.execute("SELECT pg_catalog.pg_terminate_backend(%s)", (session.info.backend_pid,))
                    gate.open()

            answer = gate.run(statement.text, at_stop)
            if not answer.failed:
                return None
            failure = server_error(answer, chunk, statement)
            if failure.sqlstate not in _ENDED:
                raise ExecutionError(f"it fails there: {failure.message}")
            return again(self._context, database, Cut("terminated", statement, index, stop=stop), since)
        except (psycopg.Error, ExecutionError) as error:
            self.notes.append(f"{statement.place} could not be cut between its batches: {str(error).strip()}")
            return None
        finally:
            self._context.space.spend(database)

    def timed_out(self, table: str) -> Cut | None:
        """Run the up with a short lock_timeout while another session writes to ``table``."""
        since, database = now(), self._context.space.clone_base(ONE_BY_ONE)
        try:
            writer = self._context.cluster.connect(database.name, autocommit=False)
            try:
                # A row lock of its own is what CONCURRENTLY waits for: the transaction, not only the table.
                writer.execute(
                    sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(sql.Identifier(*table.split(".", 1)))
                )
                writer.execute("SELECT pg_catalog.pg_current_xact_id()")
                database.session.execute(f"SET lock_timeout = '{PATIENCE}'")
                step = run_cut(self._context, database, _impatient(self._context.migration.up))
            finally:
                writer.close()
            if step.error is None or step.error.sqlstate != "55P03":
                return None
            statement, index = self._failed(step)
            holding = _held.held(step, self._context.migration.up, statement)
            found = Cut("lock_timeout", statement, index, table, held=holding)
            return again(self._context, database, found, since)
        except psycopg.Error as error:
            self.notes.append(f"nothing could be tried behind a writer of {table}: {str(error).strip()}")
            return None
        finally:
            self._context.space.spend(database)

    def _failed(self, step: Step) -> tuple[Statement, int]:
        assert step.error is not None
        every = [statement for _, statement in statements(self._context.migration.up)]
        for index, statement in enumerate(every):
            if step.error.statement is not None and statement.place == step.error.statement.place:
                return statement, index
        return every[0], 0


# -- scripts ----------------------------------------------------------------------------------------------------------


def _batches(context: Context) -> Iterator[tuple[int, int]]:
    """Statements that commit in their middle by their own word, with the commits at which to cut: the first, the last but one.

    After the last one nothing is left to write, and whether the session still ends there hangs on the moment.
    """
    if not usable(context.cluster):
        return
    for seen in context.up.watched:
        if seen.statement.kind in ("do_stmt", "call_stmt") and seen.stops:
            for stop in sorted({1, seen.stops - 1} - {0, seen.stops}):
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
