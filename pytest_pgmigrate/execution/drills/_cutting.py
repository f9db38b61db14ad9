"""Scripts cut short, and the whole script run again after that."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar

import psycopg

from pytest_pgmigrate.execution import volatile
from pytest_pgmigrate.execution.database import Watch
from pytest_pgmigrate.execution.drills._standing import put_back, standing
from pytest_pgmigrate.execution.states import compare
from pytest_pgmigrate.model.migration import Chunk, Direction, Script, Statement

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.drills import Context
    from pytest_pgmigrate.model.evidence import ServerError, Step
    from pytest_pgmigrate.model.interrupt import Cut
    from pytest_pgmigrate.model.state import Difference, State

T = TypeVar("T")

ONE_BY_ONE = Watch(locks=False, blocking=False)
"""Statements are sent one by one and not looked at."""


def statements(script: Script) -> list[tuple[Chunk, Statement]]:
    """Every statement with its chunk, in order."""
    return [(chunk, statement) for chunk in script.chunks for statement in chunk.statements]


def first(script: Script, count: int) -> Script:
    """The first ``count`` statements, at least one."""
    chunks: list[Chunk] = []
    for chunk in script.chunks:
        taken = chunk.statements[:count]
        count -= len(taken)
        if taken:
            chunks.append(replace(chunk, statements=taken))
    return replace(script, chunks=tuple(chunks))


def sample(places: Sequence[T], most: int) -> Sequence[T]:
    """At most ``most`` of the places, evenly, the first and the last among them."""
    if len(places) <= most:
        return places
    step = (len(places) - 1) / max(most - 1, 1)
    return [places[index] for index in sorted({round(step * number) for number in range(most)})]


def now() -> str:
    """The time as a step notes it: what an interrupted run and the run after it wrote of clocks lies behind it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def run_cut(context: Context, database: Database, script: Script, *, goes_on: bool = False) -> Step:
    """Run a part of the up, statement by statement inside the rule of the user's tool.

    ``goes_on``: the next statement will be sent in the same session. Otherwise sequences are put back to where they stood at
    the last commit, for a script that draws numbers by name; generated keys may differ anyway (``volatile``).
    """
    migration = replace(context.migration, up=script)
    stood: dict[str, tuple[int, bool]] = {}

    def at_rest() -> None:
        try:
            stood.update(standing(database.control))
        except psycopg.Error:
            stood.clear()  # where they stood before is no longer true

    # A chunk that has to be sent whole may commit in its middle.
    whole = any(statement.kind in ("TXN SAVEPOINT", "declare_cursor_stmt") for statement in script.statements)
    draws = not goes_on and not whole and any("nextval" in chunk.text.lower() for chunk in script.chunks)
    step = database.run(
        "up cut short", migration, Direction.UP, watched=True, goes_on=goes_on, at_rest=at_rest if draws else None
    )
    failed = step.error.statement if step.error is not None else None
    # Batches of it may be committed, and their numbers are in use.
    if stood and not (failed is not None and failed.kind in ("do_stmt", "call_stmt")):
        with suppress(psycopg.Error):
            put_back(database.control, stood)
    return step


def again(context: Context, database: Database, cut: Cut, since: str, unlogged: Collection[str] = ()) -> Cut:
    """What the cut left, and the whole up once more, as the tool sends it.

    ``since``: when the first run began; ``unlogged``: tables that a crash empties, whatever a migration does.
    """
    left = _but(compare(context.before, database.state()), unlogged)
    error, difference = converged(context, database, since, unlogged)
    return replace(cut, left=left, retry=error, difference=difference)


def converged(
    context: Context, database: Database, since: str, unlogged: Collection[str] = ()
) -> tuple[ServerError | None, Difference]:
    """Run the whole up; how it failed, and how its state differs from that of the clean run."""
    step = database.run("up after an interruption", context.migration, Direction.UP, watched=False)
    difference = _but(compare(context.after, database.state()), unlogged)
    if difference:
        difference, _ = volatile.explain(database, context.notes, replace(step, started_at=since), difference)
    return step.error, difference


def unlogged_tables(state: State) -> frozenset[str]:
    """Tables (schema.table, as a state names them) that a recovery empties."""
    found = (key.name for key, value in state.objects.items() if value.get("persistence") == "unlogged")
    return frozenset(found)


def _but(difference: Difference, unlogged: Collection[str]) -> Difference:
    """The difference without rows of these tables, and without roles of ours (``ServerWide.park``)."""
    roles = tuple(change for change in difference.roles if not change.key.name.startswith("pgmigrate_parked_"))
    tables = tuple(change for change in difference.tables if change.table not in unlogged)
    return replace(difference, tables=tables, roles=roles)
