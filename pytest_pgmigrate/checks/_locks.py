"""What the checks about locks share: the steps that were watched, what holds whom up, and how it is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import wraps
from typing import TypeVar

from pytest_pgmigrate.checks._common import last_part, listed, short
from pytest_pgmigrate.model.evidence import MigrationEvidence, Step
from pytest_pgmigrate.model.finding import Severity
from pytest_pgmigrate.model.judgement import Judgement
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.migration import Direction, Statement
from pytest_pgmigrate.model.watch import Blocked, Counts, Lock, Relation, StatementSeen
from pytest_pgmigrate.options import Settings

_T = TypeVar("_T")


def remembered(function: Callable[[MigrationEvidence], Iterable[_T]]) -> Callable[[MigrationEvidence], tuple[_T, ...]]:
    """Work a function of the evidence out once for all the checks that ask in turn about the same migration."""
    last: list[tuple[MigrationEvidence, tuple[_T, ...]]] = []

    @wraps(function)
    def ask(evidence: MigrationEvidence) -> tuple[_T, ...]:
        if not last or last[0][0] is not evidence:
            last[:] = [(evidence, tuple(function(evidence)))]
        return last[0][1]

    return ask


@dataclass(frozen=True, slots=True)
class Watched:
    """One statement of the watched up or down, with its step and the evidence it belongs to."""

    evidence: MigrationEvidence
    step: Step
    seen: StatementSeen

    @property
    def down(self) -> bool:
        """Whether it is a statement of the down, whose locks are warnings at most."""
        return self.step.direction is Direction.DOWN


@remembered
def watched(evidence: MigrationEvidence) -> Iterator[Watched]:
    """Every statement that was watched: the up's, then the down's. None of a migration whose up fails: that comes first."""
    if evidence.status != "examined":
        return
    for step in (evidence.up, evidence.down):
        if step is not None:
            yield from (Watched(evidence, step, seen) for seen in step.watched)


def blocking(locks: Iterable[Lock]) -> tuple[Lock, ...]:
    """Locks on tables that existed before and that an application's writes (or reads) wait for, strongest first."""
    found = [lock for lock in locks if lock.mode.blocks_writes and lock.relation.holds_rows and not lock.relation.new]
    return tuple(sorted(found, key=lambda lock: (-lock.mode, lock.relation.name)))


def known_rows(evidence: MigrationEvidence, table: str) -> int | None:
    """Rows the table has in production, as far as the user said."""
    return evidence.production_rows.get(table)


def is_small(evidence: MigrationEvidence, settings: Settings, table: str) -> bool:
    """Whether the table is known to have so few rows that scanning it under a lock hurts nobody."""
    rows = known_rows(evidence, table)
    return rows is not None and rows <= settings.max_blocked_rows


def weigh(item: Watched, settings: Settings, table: str, severity: Severity = Severity.ERROR) -> Severity | None:
    """The severity of work on ``table`` under a blocking lock: less in a down, None where row counts exempt it."""
    if is_small(item.evidence, settings, table):
        return None
    return Severity.WARNING if item.down else severity


def rows_phrase(evidence: MigrationEvidence, table: str, rows: int) -> str:
    """``20 rows (400,000,000 in production)``."""
    known = known_rows(evidence, table)
    said = f"{rows:,} row{'' if rows == 1 else 's'}"
    return said if known is None else f"{said} ({known:,} in production)"


def who_waits(lock: Lock) -> str:
    """What an application cannot do meanwhile, by the mode."""
    name = short(lock.relation.name)
    if lock.mode.blocks_reads:
        return f"every SELECT, INSERT, UPDATE and DELETE on {name} waits until it is released"
    if lock.mode is Mode.EXCLUSIVE:
        return (
            f"INSERT, UPDATE, DELETE and SELECT … FOR UPDATE on {name} wait until it is released; plain SELECT goes on"
        )
    return f"INSERT, UPDATE and DELETE on {name} wait until it is released; SELECT goes on"


_ORDER = ("SELECT from", "INSERT", "UPDATE of", "DELETE")
_NAMED = 5
"""Statements of the application named in one line; the rest is counted."""


def blocked_lines(seen: StatementSeen) -> tuple[str, ...]:
    """What of the application was blocked, one line a lock, tried before predicted, the user's own queries first."""
    groups: dict[tuple[bool, str, Mode], list[Blocked]] = {}
    for item in seen.blocked:
        if item.tried is not False:
            groups.setdefault((not item.tried, item.relation.name, item.held), []).append(item)
    lines = []
    for (predicted, name, held), items in sorted(groups.items(), key=lambda group: group[0]):
        labels = [_called(item) for item in sorted(items, key=_rank)]
        more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
        said = "would wait" if predicted else "waited"
        lines.append(f"while this ran, {', '.join(labels[:_NAMED])}{more} {said} for {held.pg} on {short(name)}")
    return listed(lines)


def _called(item: Blocked) -> str:
    return item.label.replace(" public.", " ") + (f" ({item.file})" if item.file else "")


def _rank(item: Blocked) -> tuple[bool, int, str, str]:
    """The user's own queries, then reading before writing, then all else."""
    order = next((rank for rank, verb in enumerate(_ORDER) if item.label.startswith(verb)), len(_ORDER))
    return not item.file, order, item.table, item.label


def lock_facts(item: Watched, lock: Lock) -> dict[str, object]:
    """The observed figures that every lock finding carries."""
    seen = item.seen
    count = seen.count(lock.relation.name)
    return {
        "step": item.step.name,
        "relation": lock.relation.name,
        "lock": lock.mode.pg,
        "source": lock.source,
        "rows_read": count.read if count else 0,
        "rows_written": count.written if count else 0,
        "rewritten": [r.name for r in seen.rewritten],
        "rebuilt": [r.name for r in seen.rebuilt],
        "wal_bytes": seen.wal_bytes,
        "blocked": [b.label for b in seen.blocked if b.tried is not False],
        "tried": sum(b.tried is not None for b in seen.blocked),
        "production_rows": known_rows(item.evidence, lock.relation.name),
    }


# -- transactions: what later statements do while an earlier one's lock is still held -----------------------------------


@dataclass(frozen=True, slots=True)
class Under:
    """One statement with the locks of earlier statements of its transaction that still keep the application out.

    ``earlier`` has one lock a table, the strongest, the longest held first; its ``since`` is the statement that first
    kept the application from the table.
    """

    item: Watched
    earlier: tuple[Lock, ...]

    def on(self, table: str) -> Lock | None:
        """The earlier lock on one table, or None."""
        return next((lock for lock in self.earlier if lock.relation.name == table), None)


@dataclass(frozen=True, slots=True)
class Work:
    """Rows of one table that a statement wrote or scanned while an earlier statement's lock was held."""

    item: Watched
    count: Counts
    lock: Lock
    severity: Severity

    @property
    def key(self) -> tuple[str, int]:
        """Which statement: its step's name and its index there."""
        return self.item.step.name, self.item.seen.index


def keeps_out(locks: Iterable[Lock]) -> tuple[Lock, ...]:
    """Blocking locks that somebody can wait for: nobody but REFRESH writes a materialized view."""
    return tuple(
        lock for lock in blocking(locks) if lock.mode.blocks_reads or lock.relation.kind != "materialized view"
    )


@remembered
def transactions(evidence: MigrationEvidence) -> Iterator[tuple[Under, ...]]:
    """The statements that went through, transaction by transaction."""
    groups: dict[tuple[str, int], list[Watched]] = {}
    for item in watched(evidence):
        if not item.seen.failed:
            groups.setdefault((item.step.name, item.seen.transaction), []).append(item)
    for items in groups.values():
        yield tuple(_under(items))


def _under(items: Iterable[Watched]) -> Iterator[Under]:
    held: dict[str, Lock] = {}
    for item in items:
        now = {lock.relation.name for lock in item.seen.held}
        if now:  # SET and the like are not asked; what is missing was given back by ROLLBACK TO SAVEPOINT
            held = {name: lock for name, lock in held.items() if name in now}
        yield Under(item, tuple(sorted(held.values(), key=lambda lock: lock.since)))
        for lock in keeps_out(item.seen.held):
            first = held.get(lock.relation.name, lock)
            held[lock.relation.name] = replace(lock, since=first.since)


def taker(item: Watched, lock: Lock) -> StatementSeen | None:
    """The statement of the same step that took the lock."""
    return next((seen for seen in item.step.watched if seen.index == lock.since), None)


def held_since(item: Watched, lock: Lock) -> str:
    """``AccessExclusiveLock on users is held since line 3``."""
    first = taker(item, lock)
    where = f" since line {first.statement.place.line}" if first else ""
    return f"{lock.mode.pg} on {short(lock.relation.name)} is held{where}"


def about(statement: Statement, relation: Relation) -> bool:
    """Whether the statement names the relation."""
    for name in statement.relations:
        plain = name.replace('"', "").lower()
        if plain == relation.name.lower() or ("." not in plain and plain == last_part(relation.name)):
            return True
    return False


_WRITES = ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt")
_ROUTINES = ("select_stmt", "do_stmt", "call_stmt")
_LITERAL = re.compile(
    r"\s*INSERT\s+INTO\s+(?:\"[^\"]+\"|[\w$.])+\s*(?:AS\s+\w+\s*)?(?:\([^)]*\)\s*)?(?:OVERRIDING\s+\w+\s+VALUE\s+)?VALUES\b",
    re.IGNORECASE,
)


def is_literal(statement: Statement) -> bool:
    """INSERT … VALUES: how many rows it writes stands in its text, whatever the size of the tables."""
    return statement.kind == "insert_stmt" and _LITERAL.match(statement.text) is not None


def written_rows(seen: StatementSeen) -> tuple[Counts, ...]:
    """Tables that existed before with the rows that a command for writing, or a routine, wrote; named ones first."""
    if seen.statement.kind not in (*_WRITES, *_ROUTINES):
        return ()
    found = [c for c in seen.counts if c.written and c.relation.holds_rows and not c.relation.new]
    return tuple(sorted(found, key=lambda c: (not about(seen.statement, c.relation), -c.written, c.relation.name)))


def written_under(evidence: MigrationEvidence, settings: Settings) -> Iterator[Work]:
    """PMG341: rows of an existing table written under a blocking lock of an earlier statement, one a statement."""
    for transaction in transactions(evidence):
        for under in transaction:
            yield from _written(under, settings)


def _written(under: Under, settings: Settings) -> Iterator[Work]:
    if not under.earlier:
        return
    usual = Severity.WARNING if is_literal(under.item.seen.statement) else Severity.ERROR
    for count in written_rows(under.item.seen):
        name = count.relation.name
        severity = weigh(under.item, settings, name, usual)
        if severity is not None:
            yield Work(under.item, count, under.on(name) or strongest(under.earlier), severity)
            return


def strongest(locks: Iterable[Lock]) -> Lock:
    """The lock that keeps out most, the longest held one of several."""
    return max(locks, key=lambda lock: (lock.mode, -lock.since))


def scanned_under(
    evidence: MigrationEvidence, settings: Settings, claimed: Collection[tuple[str, int, str]]
) -> Iterator[Work]:
    """PMG332: an existing table read by a full scan under an earlier statement's lock on another, one a statement.

    What is ``claimed`` (as a rule, scans of the locked table itself) belongs to PMG301 to PMG314, a writing statement to
    PMG341.
    """
    written = {work.key for work in written_under(evidence, settings)}
    for transaction in transactions(evidence):
        for under in transaction:
            if under.earlier and (under.item.step.name, under.item.seen.index) not in written:
                yield from _scanned(under, settings, claimed)


def _scanned(under: Under, settings: Settings, claimed: Collection[tuple[str, int, str]]) -> Iterator[Work]:
    item, seen = under.item, under.item.seen
    if seen.statement.kind == "ANALYZE":
        return
    for count in sorted(seen.counts, key=lambda c: (-c.read, c.relation.name)):
        name = count.relation.name
        if count.relation.new or not count.relation.holds_rows or not _full(item, count):
            continue
        if (item.step.name, seen.index, name) in claimed:
            continue
        severity = weigh(item, settings, name)
        if severity is not None:
            yield Work(item, count, strongest(under.earlier), severity)
            return


def _full(item: Watched, count: Counts) -> bool:
    """Read by a scan that grows with the table, not by the look-up of a key, for which tiny tables are scanned too."""
    if not count.read or 2 * count.read < item.evidence.rows_before.get(count.relation.name, 0):
        return False
    statement = item.seen.statement
    names = re.escape(last_part(count.relation.name))
    if statement.kind not in _ROUTINES and not re.search(rf"(?<![\w$]){names}(?![\w$])", statement.text, re.IGNORECASE):
        return False
    sizes = [s for s in item.evidence.scaled if s.index == item.seen.index and s.relation == count.relation.name]
    return item.down or not sizes or any(s.grows for s in sizes)


# -- time-outs ----------------------------------------------------------------------------------------------------------

_UNITS = {"": 1, "us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_ALONE = ("VACUUM", "REINDEX SCHEMA", "REINDEX DATABASE", "REINDEX SYSTEM", "CREATE DATABASE", "DROP DATABASE")


def milliseconds(shown: str) -> float | None:
    """A time-out as SHOW prints it (``5s``, ``1min``, ``0``) in milliseconds; None for anything else."""
    found = re.fullmatch(r"(\d+)\s*([a-z]*)", shown.strip())
    return int(found[1]) * _UNITS[found[2]] if found and found[2] in _UNITS else None


def stands_alone(statement: Statement) -> bool:
    """Whether it cannot run inside a transaction block."""
    return any("CONCURRENTLY" in kind for kind in statement.kinds) or statement.kind in _ALONE


def own_timeout(item: Watched, name: str, guard: float) -> float | None:
    """The time-out in force (milliseconds, 0 for none) as the migration set it; None when it is our guard (seconds)."""
    value = milliseconds(item.seen.settings.get(name, ""))
    return None if value is None or (value == round(guard * 1000) and not _sets(item, name)) else value


def _sets(item: Watched, name: str) -> bool:
    """Whether an earlier statement sets it for this one: then it may have the guard's value on purpose."""
    for seen in item.step.watched:
        statement = seen.statement
        if seen.index >= item.seen.index or name not in statement.text.lower():
            continue
        lasting = statement.kind == "SET" or statement.kind == "select_stmt"
        if lasting or (statement.kind == "SET LOCAL" and seen.transaction == item.seen.transaction):
            return True
    return False


def unlimited(judged: Judgement, code: str, name: str, guard: float) -> tuple[Watched, Lock, bool] | None:
    """The first statement of the up that locks the application out while the migration has no such time-out.

    With its lock, and whether the time-out was switched off. What must stand alone is exempt. None too when ``code`` was
    said of an earlier migration already: once a history is enough.
    """
    if any(finding.code == code and finding.ignored is None for finding in judged.earlier):
        return None
    for item in watched(judged.evidence):
        locks = () if item.down or item.seen.failed or stands_alone(item.seen.statement) else keeps_out(item.seen.taken)
        if locks and name in item.seen.settings:
            value = own_timeout(item, name, guard)
            if not value:
                # The table that the statement is about, before those joined to it.
                first = next((lock for lock in locks if about(item.seen.statement, lock.relation)), locks[0])
                return item, first, value == 0
    return None
