"""Migrations that look how far behind the standbys are: does that stop them when a standby is behind?"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from pytest_pgmigrate.errors import ReplicaTimeout
from pytest_pgmigrate.execution.drills._guards import Found, find_guards
from pytest_pgmigrate.execution.drills._shown_lag import show_lag, was_asked
from pytest_pgmigrate.execution.gate import usable
from pytest_pgmigrate.model.finding import Part
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.model.replica import GuardTrial, LagGuards

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.drills import Context
    from pytest_pgmigrate.model.evidence import Step
    from pytest_pgmigrate.model.replica import Guard

PART = Part.REPLICA

WAITS = 3.0
"""Seconds after which a guard that sleeps until the standby has caught up counts as having stopped the migration."""

_CANCELLED = "57014"
_EMIT = "SELECT pg_catalog.pg_logical_emit_message(true, 'pgmigrate', repeat('x', 1000))"


def run(context: Context) -> LagGuards | None:
    """Every lag guard of the up, tried; None when it has none."""
    if context.cluster.replica is None:
        return None
    found = find_guards(context.migration.up, context.work.control)
    if not found:
        return None
    notes: list[str] = []
    trials: list[tuple[int, GuardTrial]] = []
    for how in _ways(context, found, notes):
        try:
            trials += _try(context, found, how)
        except ReplicaTimeout as error:
            notes.append(f"lag guards: {error}")
    guards = []
    for one in found:
        guard = replace(one.guard, trials=tuple(trial for index, trial in trials if index == one.guard.index))
        why = "" if guard.stops or guard.always_null else _untold(one, guard)
        if why:
            notes.append(f"{guard.statement.place}: {why}")
            guard = replace(guard, trials=())
        guards.append(guard)
    return LagGuards(tuple(guards), tuple(notes))


def _untold(one: Found, guard: Guard) -> str:
    """Why it cannot be said that a guard does not stop the migration, though it did not; "" when it can."""
    if not any(trial.asked for trial in guard.trials):
        return "the lag guard could not be shown a standby that is behind (--pgmigrate-lag-drill holds replay back)"
    return "the lag guard looks for certain standbys, which are not here" if one.chooses else ""


def _ways(context: Context, found: tuple[Found, ...], notes: list[str]) -> Iterator[str]:
    """How it is tried: always shown a lag; with replay really held back where the threshold lets it."""
    yield "shown"
    wanted = context.settings.lag_drill is not None
    settings = any(one.settings for one in found)
    may = usable(context.cluster) and "pause_replay" in context.cluster.capabilities
    if (wanted or settings) and not may:
        notes.append("lag guards: replay on a server that is not ours is not held back")
        return
    if settings:
        yield "setting"
    if wanted:
        yield "paused"


def _try(context: Context, found: tuple[Found, ...], how: str) -> Iterator[tuple[int, GuardTrial]]:
    """The up once more, in a clone, beside a standby that is behind; what it says of each guard it came to."""
    sleeps = any(one.sleeps for one in found)
    database = context.space.clone_base()
    database.hurry()
    try:
        with contextlib.ExitStack() as stack:
            seconds = 0.0
            if how == "shown":
                show_lag(database.control, database.session)
            else:
                context.cluster.wait_for_replica()
                seconds = context.settings.lag_drill or 0.0 if how == "paused" else 0.0
                stack.enter_context(context.cluster.pause_replay())
                _fall_behind(database, seconds)
            if how == "setting":
                _no_threshold(database, found)
            if sleeps:
                stack.enter_context(_cancelled_later(context, database))
            step = database.run("up beside a standby that is behind", context.migration, Direction.UP, watched=False)
            asked = was_asked(database.control) if how == "shown" else True
            yield from _outcomes(found, step, GuardTrial(how, False, asked, seconds=seconds))
    finally:
        context.space.spend(database)


@contextlib.contextmanager
def _cancelled_later(context: Context, database: Database) -> Iterator[None]:
    """Cancel what the session runs then; a statement_timeout would be the migration's own to set."""
    pid = database.session.info.backend_pid

    def cancel() -> None:
        with context.cluster.connect(context.cluster.maintenance_database) as connection:
            connection.execute("SELECT pg_cancel_backend(%s)", (pid,))

    timer = threading.Timer(WAITS, cancel)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _outcomes(found: tuple[Found, ...], step: Step, ran: GuardTrial) -> Iterator[tuple[int, GuardTrial]]:
    """What the run says of each guard: those before the failing statement let it through, that one stopped it."""
    error = step.error
    at = None if error is None or error.statement is None else error.statement.place
    for one in found:
        place = one.guard.statement.place
        if error is None or (at is not None and (place.line, place.column) < (at.line, at.column)):
            yield one.guard.index, ran
        elif at == place:
            waited = error.sqlstate == _CANCELLED
            message = "it waits for the standby" if waited else error.message
            yield one.guard.index, replace(ran, stopped=True, asked=True, message=message)


def _fall_behind(database: Database, seconds: float) -> None:
    """Write WAL that the standby does not replay, for so many seconds: its lag is only known of positions it was sent."""
    until = time.monotonic() + seconds
    while True:
        database.control.execute(_EMIT)
        left = until - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, 0.2))


def _no_threshold(database: Database, found: tuple[Found, ...]) -> None:
    """The user's own settings that the guards read, at nothing; in the units that they take it in."""
    for name in dict.fromkeys(name for one in found for name in one.settings):
        with contextlib.suppress(psycopg.Error):
            database.session.execute(sql.SQL("SELECT set_config({}, '0', false)").format(sql.Literal(name)))
