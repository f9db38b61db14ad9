"""Readers on the replica in words: what met them, how long, under which settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pytest_pgmigrate.checks._common import short
from pytest_pgmigrate.checks._locks import is_literal
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Finding, Part, Severity
from pytest_pgmigrate.model.judgement import Judgement
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.replica import ReaderSeen, ReplicaReader

MANY = 100
"""Rows written under a lock by a later statement from which on it is no instant lock any more."""

_ABOUT_TIMEOUTS = ("PMG330", "PMG331", "PMG335")


def meetings(seen: ReplicaReader) -> Iterator[tuple[ReaderSeen, ...]]:
    """The readers that replay met, statement by statement."""
    groups: dict[int, list[ReaderSeen]] = {}
    for reader in seen.readers:
        if reader.statement is not None:
            groups.setdefault(reader.index, []).append(reader)
    for index in sorted(groups):
        yield tuple(sorted(groups[index], key=lambda reader: reader.table))


def names(readers: Iterable[ReaderSeen]) -> str:
    """Their tables as a person lists them."""
    return ", ".join(short(reader.table) for reader in readers)


def what_happened(reader: ReaderSeen) -> str:
    """What became of it, by outcome and setting."""
    if reader.outcome == "cancelled":
        return f"cancelled it (SQLSTATE {reader.sqlstate or '40001'}; max_standby_streaming_delay = {reader.delay})"
    if reader.delay == "-1":
        return "stands still until it ends, however long that takes (max_standby_streaming_delay = -1)"
    return (
        f"waits for it, {reader.delay} at most, and then cancels it with SQLSTATE 40001 (max_standby_streaming_delay)"
    )


def reported(judged: Judgement, tables: Iterable[str]) -> Finding | None:
    """What the locks part says of the same tables in the up, errors first; time-outs are another matter."""
    wanted, up = set(tables), judged.evidence.migration.up.file
    found = [
        f
        for f in judged.findings
        if f.part is Part.LOCKS
        and f.place.file == up
        and f.code not in _ABOUT_TIMEOUTS
        and f.observed.get("lock") == Mode.ACCESS_EXCLUSIVE.pg
        and f.severity is not Severity.INFO
        and f.observed.get("relation") in wanted
    ]
    return min(found, key=lambda f: (f.severity is not Severity.ERROR, f.place.line), default=None)


def work_after(evidence: MigrationEvidence, index: int) -> tuple[int, int]:
    """Rows that later statements of the same transaction write, and the line of the first: the lock is held meanwhile."""
    watched = evidence.up.watched if evidence.up is not None else ()
    transaction = next((s.transaction for s in watched if s.index == index), None)
    later = [s for s in watched if s.transaction == transaction and s.index > index and not is_literal(s.statement)]
    writing = [s for s in later if any(count.written for count in s.counts)]
    rows = sum(count.written for s in writing for count in s.counts)
    return rows, writing[0].statement.place.line if writing else 0


def lock_lines(seen: ReplicaReader, index: int) -> Iterator[str]:
    """The locks that replay held for one statement, and whom they kept out."""
    for locks in seen.locks:
        if locks.index != index:
            continue
        listed = ", ".join(short(name) for name in locks.relations[:5])
        more = f" and {len(locks.relations) - 5} more" if len(locks.relations) > 5 else ""
        yield f"replay locked {listed}{more} AccessExclusive on the replica"
        if locks.blocked:
            blocked = ", ".join(map(short, locks.blocked))
            yield f"a new SELECT from {blocked} waited there while the migration's transaction was open"


def matrix_lines(matrix: Sequence[ReaderSeen], tables: Iterable[str]) -> Iterator[str]:
    """What became of readers of these tables under other settings."""
    wanted = set(tables)
    for reader in matrix:
        if reader.table in wanted:
            feedback = "on" if reader.feedback else "off"
            code = f" ({reader.sqlstate})" if reader.sqlstate else ""
            yield (
                f"max_standby_streaming_delay {reader.delay}, hot_standby_feedback {feedback}: "
                f"the reader of {short(reader.table)} {_OUTCOMES[reader.outcome]}{code}"
            )


_OUTCOMES = {"waited": "held up replay", "cancelled": "was cancelled", "undisturbed": "was not disturbed"}
