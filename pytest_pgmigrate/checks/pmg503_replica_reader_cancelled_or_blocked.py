"""Readers on the replica that are in the way of a migration's lock."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line
from pytest_pgmigrate.checks._replica import (
    MANY,
    lock_lines,
    matrix_lines,
    meetings,
    names,
    reported,
    what_happened,
    work_after,
)
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.judgement import Judgement
from pytest_pgmigrate.model.replica import ReaderSeen, ReplicaReader
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG503", "replica-reader-cancelled-or-blocked", part=Part.REPLICA, severity=Severity.WARNING)
def replica_reader_cancelled_or_blocked(judged: Judgement, settings: Settings) -> Iterator[Observation]:
    """A lock of the migration, replayed on the replica, meets those who read there.

    Why it matters:
    An AccessExclusive lock is replayed on every standby. Whoever reads the table there is in its way: replay, and with
    it all that the replica shows, waits for the reader up to max_standby_streaming_delay, then the reader is cancelled.
    The migration's lock_timeout has no say in it, nor has hot_standby_feedback, and CONCURRENTLY does not help: the
    primary waits for its own readers only. New readers of the table wait until the migration commits.

    How it is measured:
    In a clone the up runs statement by statement while a transaction on the replica has read every table that the up
    locks so. Whether replay waits, and whether the reader is cancelled, is observed under the replica's own settings;
    the locks are read there while the migration's transaction is open, and a new SELECT is tried.

    It is a warning where the lock is held while a later statement of the same transaction writes many rows, and where
    the replica's settings cancel readers at once or never; information where the lock lasts an instant, and where the
    locks part reports the table already.

    How to fix:
    Keep transactions with such a lock short: nothing but the statement itself. Have readers on the replica retry
    on SQLSTATE 40001, and end long reports before the deploy.

    When to ignore:
    When nobody reads this table on a replica.

    References:
    https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-CONFLICT
    """
    seen = judged.evidence.drilled(ReplicaReader)
    if seen is not None:
        for readers in meetings(seen):
            yield _observation(judged, seen, readers)


def _observation(judged: Judgement, seen: ReplicaReader, readers: tuple[ReaderSeen, ...]) -> Observation:
    first = readers[0]
    statement = first.statement
    assert statement is not None
    tables = [reader.table for reader in readers]
    blocked = sorted({table for locks in seen.locks if locks.index == first.index for table in locks.blocked})
    rows, line = work_after(judged.evidence, first.index)
    other = reported(judged, tables)
    severity = _severity(first, rows, known=other is not None)
    message = (
        f"a transaction on the replica that has read {names(readers)} is in the way: replay {what_happened(first)}"
    )
    if rows >= MANY and other is None:
        message += f"; the lock is then held while line {line} writes {rows:,} rows"
    return Observation(
        place=statement.place,
        message=message,
        effect=_effect(first, names(readers), blocked=bool(blocked)),
        fix=_fix(first, names(readers), line if rows >= MANY else 0, other.code if other is not None else ""),
        observed={
            "tables": tables,
            "outcome": first.outcome,
            "sqlstate": first.sqlstate,
            "max_standby_streaming_delay": first.delay,
            "hot_standby_feedback": first.feedback,
            "blocked": blocked,
            "rows_written_under_lock": rows,
            "reported_by": other.code if other is not None else "",
        },
        details=(
            f"statement: {first_line(statement.text)}",
            *lock_lines(seen, first.index),
            *matrix_lines(seen.matrix, tables),
        ),
        severity=severity,
    )


def _severity(reader: ReaderSeen, rows: int, *, known: bool) -> Severity:
    if known:
        return Severity.INFO
    harsh = reader.outcome == "cancelled" or reader.delay == "-1"
    return Severity.WARNING if harsh or rows >= MANY else Severity.INFO


def _effect(reader: ReaderSeen, tables: str, *, blocked: bool) -> str:
    if reader.outcome == "cancelled":
        said = f"reports and backups that read {tables} on the replica fail during the deploy"
    else:
        said = f"while a report or backup there reads {tables}, the whole replica shows data of before"
    return f"{said}; new readers of {tables} wait until the migration commits" if blocked else said


def _fix(reader: ReaderSeen, tables: str, line: int, code: str) -> str:
    if code:
        return f"what {code} says of this statement shortens it on the replica too"
    if line:
        return f"move what line {line} writes into a migration of its own, so that the lock on {tables} ends at once"
    if reader.delay == "-1":
        return f"end long transactions that read {tables} on the replica before the deploy, or give the setting a limit"
    return f"have those who read {tables} on the replica retry on SQLSTATE 40001, and deploy when no long report runs"
