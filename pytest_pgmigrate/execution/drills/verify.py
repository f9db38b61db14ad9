"""The user's invariants at every step: before, after the up, on the replica, after the down, after the up once more.

Lane A has compared states exactly: where its down gave back what was before, and its second up what the first gave,
their answers are known, and nothing is run a second time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from pytest_pgmigrate.errors import ReplicaTimeout
from pytest_pgmigrate.execution.compat.known import undone
from pytest_pgmigrate.execution.database import session_options
from pytest_pgmigrate.execution.drills import _old_writes
from pytest_pgmigrate.execution.trial import Trials
from pytest_pgmigrate.model.finding import Part
from pytest_pgmigrate.model.invariants import BrokenInvariant, FailedInvariant, VerifyEvidence
from pytest_pgmigrate.model.migration import Direction, Invariant

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.drills import Context

PART = Part.DATA
SHOWN = 5
"""Rows kept of an answer."""

_GONE = ("42P01", "42703", "42883", "42704", "3F000")
"""undefined_table, _column, _function, _object; invalid_schema_name
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

_OF_DATA = ("21", "22")
"""Classes of errors that hang on the rows: cardinality violations, data exceptions."""

_COPY = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*COPY\b", re.IGNORECASE | re.DOTALL)
_NO_ROWS = "the statement returns no rows at all: an invariant is a query"
_BINDS = "08P01"

AFTER_UP, REPLICA = "after the up", "on the replica, after the up"
AFTER_OLD_WRITES = "after the up, once the old release has written"
AFTER_DOWN, AFTER_UP_AGAIN = "after the down", "after the second up"


@dataclass(frozen=True, slots=True)
class _Answer:
    rows: tuple[str, ...] = ()
    count: int = 0
    sqlstate: str = ""
    message: str = ""
    offset: int = 0

    @property
    def fine(self) -> bool:
        return not self.message and not self.count


def run(context: Context) -> VerifyEvidence | None:
    """Ask every invariant that holds at n-1 or n; None when there is none."""
    index = context.migration.index
    was = [i for i in context.history.invariants if i.holds_at(index - 1)]
    now = [i for i in context.history.invariants if i.holds_at(index)]
    if not was and not now:
        return None
    before = _before(context, was)
    found = _Found(context, before)
    after = _after(context, now)
    found.take(AFTER_UP, after)
    fine = [i for i in now if after[i].fine]
    found.take(REPLICA, _on_replica(context, fine))
    found.take(AFTER_OLD_WRITES, _after_old_writes(context, fine))
    whole = [i for i in was if before[i].fine]
    if context.down is not None and context.down.error is None and context.down.difference:
        _down_and_up(context, found, whole, fine)
    already = tuple(_broken(i, "before the up", a) for i, a in before.items() if a.count and i in now)
    return VerifyEvidence(len({*was, *now}), tuple(found.broken), tuple(found.failed), already)


class _Found:
    """Sorts answers: what broke, what could not be asked, and what is no fault of this migration."""

    def __init__(self, context: Context, before: dict[Invariant, _Answer]) -> None:
        self.broken: list[BrokenInvariant] = []
        self.failed: list[FailedInvariant] = []
        self._before = before
        self._last = context.migration.index == len(context.history.migrations) - 1
        self._index = context.migration.index

    def take(self, step: str, answers: dict[Invariant, _Answer]) -> None:
        for invariant, answer in answers.items():
            before = self._before.get(invariant)
            if answer.message:
                self._refused(invariant, step, answer, before)
            elif answer.count and not (before is not None and before.count):
                self.broken.append(_broken(invariant, step, answer))

    def _refused(self, invariant: Invariant, step: str, answer: _Answer, before: _Answer | None) -> None:
        ran = before is not None and not before.message
        ended = ran and step != AFTER_DOWN and answer.sqlstate in _GONE
        begins = invariant.first == self._index if invariant.declared else self._last
        # What could not be asked before either was said where it begins, or is not expected yet: but for what only rows
        # show, for where it begins its tables may have been new.
        meets_rows = invariant.declared and invariant.first == self._index - 1 and answer.sqlstate[:2] in _OF_DATA
        if ran or begins or meets_rows:
            place = invariant.at(answer.offset)
            self.failed.append(FailedInvariant(invariant, step, answer.sqlstate, answer.message, place, ended))


def _broken(invariant: Invariant, step: str, answer: _Answer) -> BrokenInvariant:
    return BrokenInvariant(invariant, step, answer.count, answer.rows)


def _before(context: Context, invariants: Sequence[Invariant]) -> dict[Invariant, _Answer]:
    if not invariants:
        return {}
    return _ask_all(context.space.connect_base, invariants)


def _after(context: Context, invariants: Sequence[Invariant]) -> dict[Invariant, _Answer]:
    if not invariants:
        return {}
    options = session_options(context.settings)
    return _ask_all(lambda: context.cluster.connect(context.work.name, options=options), invariants)


def _on_replica(context: Context, invariants: Sequence[Invariant]) -> dict[Invariant, _Answer]:
    """The same on the replica, which has replayed what the primary wrote; that it lags is another check's finding."""
    if context.cluster.replica is None or not invariants:
        return {}
    options = session_options(context.settings)
    try:
        context.cluster.wait_for_replica()
        return _ask_all(lambda: context.cluster.connect(context.work.name, replica=True, options=options), invariants)
    except (ReplicaTimeout, psycopg.Error):
        return {}


def _after_old_writes(context: Context, invariants: Sequence[Invariant]) -> dict[Invariant, _Answer]:
    """What holds once a release that does not know the new column has inserted and updated rows."""
    if not invariants or not _old_writes.filled_by_triggers(context.history.migrations):
        return {}
    trials = Trials(context.space, context.migration)
    try:
        with trials.place() as place:
            if place.run(context.migration, Direction.UP) is not None:
                return {}
            with undone(place.connection):
                if not _old_writes.write(context, place.connection):
                    return {}
                return {i: _ask(place.connection, i.sql) for i in invariants}
    finally:
        trials.close()


def _down_and_up(context: Context, found: _Found, was: Sequence[Invariant], now: Sequence[Invariant]) -> None:
    """The down left something else than before: what holds of that, and of a second up over it."""
    database = context.space.clone_base()
    try:
        migration = context.migration
        for direction in (Direction.UP, Direction.DOWN):
            if database.run(f"{direction.value} for invariants", migration, direction, watched=False).error is not None:
                return
        found.take(AFTER_DOWN, {i: _ask(database.control, i.sql) for i in was})
        if database.run("up for invariants", migration, Direction.UP, watched=False).error is None:
            found.take(AFTER_UP_AGAIN, {i: _ask(database.control, i.sql) for i in now})
    finally:
        context.space.spend(database)


def _ask_all(
    connect: Callable[[], psycopg.Connection[Any]], invariants: Sequence[Invariant]
) -> dict[Invariant, _Answer]:
    """Ask one after the other; what one of them does to its session (ends it, copies) is nothing to the next one."""
    answers = {}
    connection = connect()
    try:
        for invariant in invariants:
            if connection.info.transaction_status is not TransactionStatus.IDLE:
                connection.close()
                connection = connect()
            answers[invariant] = _ask(connection, invariant.sql)
    finally:
        connection.close()
    return answers


def _ask(connection: psycopg.Connection[Any], text: str) -> _Answer:
    """Run one query in a read-only transaction that is rolled back; several at once are refused, as they may end it."""
    if _COPY.match(text):
        return _Answer(message=_NO_ROWS)  # the driver would be left in the middle of it
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET TRANSACTION READ ONLY")
            cursor = connection.execute(text.encode(), prepare=True)
            if cursor.description is None:
                return _Answer(message=_NO_ROWS)
            names = [column.name for column in cursor.description]
            # In an order of its own, so that the rows shown are the same ones every time.
            rows = sorted(cursor.fetchall(), key=lambda row: [(len(str(value)), str(value)) for value in row])[:SHOWN]
            return _Answer(tuple(_row(names, row) for row in rows), cursor.rowcount)
    except psycopg.Error as error:
        position = error.diag.statement_position
        message = error.diag.message_primary or str(error).strip()
        if error.sqlstate == _BINDS:
            message = "it has parameters, and nobody gives an invariant values"
        return _Answer((), 0, error.sqlstate or "", message, int(position) - 1 if position else 0)


def _row(names: Sequence[str], row: Sequence[object]) -> str:
    """``id 3, handle NULL``."""
    return ", ".join(
        f"{name} {'NULL' if value is None else _short(value)}" for name, value in zip(names, row, strict=True)
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"
