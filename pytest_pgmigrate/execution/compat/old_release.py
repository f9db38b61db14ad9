"""The old release at version n-1, on version n and again after the down, in one place of which nothing stays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg

from pytest_pgmigrate.execution.compat import affected, calls, faults, statements, tables
from pytest_pgmigrate.execution.compat.attempts import Tries, execute
from pytest_pgmigrate.execution.compat.known import Known, Reader, undone
from pytest_pgmigrate.execution.database import OUR_SCHEMAS
from pytest_pgmigrate.execution.names import plain
from pytest_pgmigrate.execution.trial import Place, Trials
from pytest_pgmigrate.model.compat import Break, CompatEvidence, Refused, Reshaped
from pytest_pgmigrate.model.migration import Direction

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.compat.tables import Now, Old
    from pytest_pgmigrate.execution.drills import Context


def examine(context: Context) -> CompatEvidence:
    """What of the old release breaks. Without anything that could break it nothing is run."""
    if not context.changed.objects:
        return CompatEvidence()
    names = affected.relations(context.changed, context.before, context.after)
    routines = affected.routines(context.changed)
    widened = affected.widened(context.changed, context.after)
    if not names and not widened and not routines and not context.space.watch.queries:
        return CompatEvidence()
    trials = Trials(context.space, context.migration)
    try:
        with trials.place() as place:
            drill = _Drill(context, place)
            seen = drill.run(names, widened, routines)
        return replace(seen, breaks=_that_no_row_helps(context, trials, seen.breaks))
    finally:
        trials.close()


class _Drill:
    """One walk: what works at version n-1, the up, what fails, the down, what fails then."""

    def __init__(self, context: Context, place: Place) -> None:
        self._context = context
        self._place = place
        self._connection = place.connection
        every = [plain(name) for name in context.before.tables]
        self._reader = Reader(place.connection, context.seeder, every, affected.edges(context.changed))

    def run(self, names: Sequence[str], widened: Sequence[str], routines: Sequence[str]) -> CompatEvidence:
        queries = self._context.space.watch.queries
        oids = [oid for oid in tables.find(self._connection, names) if oid is not None]
        oids += affected.fired(self._connection, routines)
        wider = [oid for oid in tables.find(self._connection, widened) if oid is not None]
        known = self._reader.read(list(dict.fromkeys(oids)), wider, routines, queries)
        notes = list(known.notes)
        breaks: list[Break] = []
        reshaped: list[Reshaped] = []
        migration = self._context.migration
        if known.tried:
            failure = self._place.run(migration, Direction.UP)
            if failure is not None:
                return CompatEvidence(notes=(f"the up fails in another database: {failure.error.message}",))
            breaks = self._after_up(known)
            with undone(self._connection) as tries:
                reshaped = self._reshaped(tries, known)
            if self._context.down is not None and self._context.down.error is None:
                broken = {query.sql for one in breaks for query in one.queries}
                if self._place.run(migration, Direction.DOWN) is None:
                    breaks += self._after_down(known, broken)
        return CompatEvidence(
            tried=known.tried,
            breaks=tuple(breaks),
            reshaped=tuple(reshaped),
            usable=tuple(query.name for query in known.queries),
            unusable=tuple(known.unusable),
            notes=tuple(notes),
        )

    def _now(self, olds: Sequence[Old]) -> list[Now]:
        """What the old names stand for at the version there is."""
        oids = [old.table.oid for old in olds]
        by_name = tables.find(self._connection, [old.table.sql for old in olds])
        found = tables.read(self._connection, {*oids, *(oid for oid in by_name if oid is not None)})
        return [
            tables.compare(old.table, found.get(old.table.oid), found.get(oid) if oid is not None else None)
            for old, oid in zip(olds, by_name, strict=True)
        ]

    def _after_up(self, known: Known) -> list[Break]:
        nows = self._now(known.olds)
        breaks: list[Break] = []
        with undone(self._connection) as tries:
            for old, now in zip(known.olds, nows, strict=True):
                breaks += faults.of_table(tries, known, old, now)
            for function in known.functions:
                refused = tries.attempt(function.call, "CALL").refused
                if refused is not None:
                    _attach(breaks, refused, self._called(function, refused))
            for query in known.queries:
                refused = query.attempt(tries).refused
                if refused is not None:
                    _attach(breaks, refused, Break("query", "query", query.query.file, "", ()))
        return breaks

    def _called(self, function: calls.Function, refused: Refused) -> Break:
        now = calls.fate(self._connection, function)
        cause = "call" if now == function.name else ("renamed" if now else "dropped")
        return Break(cause, "function", function.signature, "", (refused,), now=now if cause == "renamed" else "")

    def _reshaped(self, tries: Tries, known: Known) -> list[Reshaped]:
        """Plans that were prepared before the up: what the server says of them now.

        https://www.postgresql.org/docs/current/sql-prepare.html
        """
        found = []
        for name, plan in known.plans.items():
            refused = tries.attempt(execute(plan, ()), "SELECT").refused
            if refused is not None and refused.sqlstate == "0A000":
                found.append(Reshaped(name, refused.message))
        for query in known.queries:
            refused = tries.attempt(execute(query.plan, query.values), "QUERY").refused if query.plan else None
            if refused is not None and refused.sqlstate == "0A000":
                found.append(Reshaped("", refused.message, query.query.file, query.line(0)))
        return found

    def _after_down(self, known: Known, broken: set[str]) -> list[Break]:
        """The same statements, unadapted: version n-1 is there again."""
        breaks: list[Break] = []
        with undone(self._connection) as tries:
            for old in known.olds:
                breaks += self._table_again(tries, known, old)
            for query in known.queries:
                refused = query.attempt(tries).refused
                if refused is not None and query.sql not in broken:
                    breaks.append(Break("query", "query", query.query.file, "", (), (refused,)))
        return [replace(one, direction=Direction.DOWN) for one in breaks]

    def _table_again(self, tries: Tries, known: Known, old: Old) -> list[Break]:
        table, names = old.table, statements.same_names(old.table)
        asked = [("SELECT", statements.select(table, table.columns))] if table.oid in known.reads else []
        if old.fresh:
            asked.append(("INSERT", statements.insert(table, old.fresh[0], names)))
        if rows := known.updated.get(table.oid):
            asked.append(("UPDATE", statements.update(table, rows[0], names)))
        refused = [r for kind, sql in asked if (r := tries.attempt(sql, kind).refused) is not None]
        return [Break("refused", "table", table.name, table.name, tuple(refused))] if refused else []


def _attach(breaks: list[Break], refused: Refused, alone: Break) -> None:
    """Count a failing call or query to the cause that is known already, or as a cause of its own."""
    for index, one in enumerate(breaks):
        if one.direction is Direction.UP and _same_cause(one, refused):
            queried = (*one.queries, refused) if refused.file else one.queries
            called = one.statements if refused.file else (*one.statements, refused)
            breaks[index] = replace(one, statements=called, queries=queried)
            return
    breaks.append(replace(alone, queries=(refused,)) if refused.file else alone)


def _same_cause(one: Break, refused: Refused) -> bool:
    if one.cause in ("renamed", "dropped"):
        words = re.findall(r"[\w$]+", refused.message)
        return refused.about_names and one.object.split("(", 1)[0].rsplit(".", 1)[-1] in words
    if one.cause in ("refused", "value"):
        if refused.sqlstate not in {found.sqlstate for found in one.statements}:
            return False
        return (
            not one.subject
            or not (refused.constraint or refused.column)
            or (one.subject in (refused.constraint, refused.column))
        )
    return False


def _that_no_row_helps(context: Context, trials: Trials, breaks: Sequence[Break]) -> tuple[Break, ...]:
    """INSERTs that a constraint refuses, tried with rows that fit version n too: does any row that n-1 takes pass?

    Where one does the old release may well write only such rows, and it is a matter of values; of unique and foreign
    keys then nothing is said.
    """
    asked = [
        one
        for one in breaks
        if one.cause == "refused"
        and one.direction is Direction.UP
        and _about_values(one)
        and not affected.refers_to_new(one.subject, context.before, context.after)
    ]
    if not asked:
        return tuple(breaks)
    passing = _passing(context, trials, {one.relation for one in asked})
    found = []
    for one in breaks:
        if one in asked and one.relation in passing and not one.queries:
            if one.statements[0].sqlstate in faults.ABOUT_OTHER_ROWS:
                continue
            found.append(replace(one, cause="value"))
        else:
            found.append(one)
    return tuple(found)


def _about_values(one: Break) -> bool:
    return bool(one.statements) and all(found.sqlstate in faults.ABOUT_VALUES for found in one.statements)


def _passing(context: Context, trials: Trials, names: set[str]) -> set[str]:
    """Tables for which version n-1 and version n both take a row made for both."""
    also = context.seeder.read_schema(context.work.control, exclude_schemas=OUR_SCHEMAS)
    with trials.place() as place:
        every = [plain(name) for name in context.before.tables]
        reader = Reader(place.connection, context.seeder, every)
        written: Mapping[str, str] = {plain(name): name for name in context.before.tables}
        found = tables.find(place.connection, [written[name] for name in names if name in written])
        reader.fill(tables.read(place.connection, [oid for oid in found if oid is not None]), also)
        olds = [old for old in reader.olds.values() if old.fresh]
        sql = {old.table.name: _inserts(old) for old in olds}
        if place.run(context.migration, Direction.UP) is not None:
            return set()
        try:
            with undone(place.connection) as tries:
                return {
                    name
                    for name, each in sql.items()
                    if any(tries.attempt(one, "INSERT").refused is None for one in each)
                }
        except psycopg.Error:
            return set()


def _inserts(old: Old) -> list[str]:
    names = statements.same_names(old.table)
    return [statements.insert(old.table, row, names) for row in old.fresh]
