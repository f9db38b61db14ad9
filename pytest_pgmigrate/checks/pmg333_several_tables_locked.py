"""A transaction that locks one table after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_pgmigrate.checks._common import first_line, listed, short
from pytest_pgmigrate.checks._hazards import claimed
from pytest_pgmigrate.checks._locks import (
    Under,
    about,
    blocked_lines,
    is_small,
    keeps_out,
    lock_facts,
    scanned_under,
    taker,
    transactions,
    written_under,
)
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.watch import Lock
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _is_dropped(under: Under, lock: Lock) -> bool:
    """A table that the statement drops: whoever still uses it fails in any order."""
    seen = under.item.seen
    if seen.statement.kind == "DROP SCHEMA":
        return lock.relation.name.split(".", 1)[0] in seen.statement.relations
    return seen.statement.kind == "DROP TABLE" and about(seen.statement, lock.relation)


def _requests(transaction: Sequence[Under]) -> list[tuple[Under, Lock]]:
    """The first blocking lock on each table that remains, in the order in which they are asked for."""
    gone = {lock.relation.name for under in transaction for lock in under.item.seen.held if _is_dropped(under, lock)}
    found: dict[str, tuple[Under, Lock]] = {}
    for under in transaction:
        for lock in keeps_out(under.item.seen.taken):
            if lock.relation.name not in gone:
                found.setdefault(lock.relation.name, (under, lock))
    return list(found.values())


def _second(requests: Sequence[tuple[Under, Lock]]) -> tuple[Under, Lock] | None:
    """The first request while an earlier statement's lock on another table is still held."""
    names = {lock.relation.name for _, lock in requests}
    for under, lock in requests:
        others = {held.relation.name for held in under.earlier} - {lock.relation.name}
        if others & names:
            return under, lock
    return None


def _works(evidence: MigrationEvidence, settings: Settings) -> set[tuple[str, int, frozenset[str]]]:
    """Statements whose work under another table's lock is a finding that names both tables already."""
    found = [*written_under(evidence, settings), *scanned_under(evidence, settings, claimed(evidence))]
    return {(*work.key, frozenset({work.count.relation.name, work.lock.relation.name})) for work in found}


@check("PMG333", "several-tables-locked", part=Part.LOCKS, severity=Severity.ERROR)
def several_tables_locked(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A transaction locks a second table while it still holds the first.

    Why it matters:
    It waits for the second table with the first one locked, so that one long query of the second stops both. And an
    application that uses the two in the other order deadlocks with the migration: one of them is killed.

    How it is measured:
    From the locks that each statement asked for on tables that existed before, while those of earlier statements were
    held. What one statement locks by itself (a foreign key's two tables) counts once; tables that are dropped do not
    count. A down that only goes back the way of its up is not reported again.

    How to fix:
    One migration for each table.

    When to ignore:
    When the application is down meanwhile, or all of the tables are small: give their rows with
    pgmigrate_production_rows.

    References:
    https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-DEADLOCKS
    """
    told: set[str] = set()
    works = _works(evidence, settings)
    for transaction in transactions(evidence):
        requests = _requests(transaction)
        second = _second(requests)
        names = {lock.relation.name for _, lock in requests}
        if second is None or all(is_small(evidence, settings, name) for name in names):
            continue
        if transaction[0].item.down and names <= told:
            continue
        if (second[0].item.step.name, second[0].item.seen.index, frozenset(names)) in works:
            continue
        told |= names
        yield _observe(requests, second)


def _observe(requests: Sequence[tuple[Under, Lock]], second: tuple[Under, Lock]) -> Observation:
    under, lock = second
    item = under.item
    first = next(held for held in under.earlier if held.relation.name != lock.relation.name)
    before = taker(item, first)
    since = f", held since line {before.statement.place.line}" if before else ""
    name = short(lock.relation.name)
    statements = dict.fromkeys(u.item.seen.statement.text for u, _ in requests)
    return Observation(
        place=item.seen.statement.place,
        message=f"{len(requests)} tables are locked in one transaction: this statement asks for {lock.mode.pg} on {name} "
        f"under {first.mode.pg} on {short(first.relation.name)}{since}",
        effect=f"a long query of {name} makes {short(first.relation.name)} wait too, and a transaction that uses both "
        "in the other order deadlocks with it",
        fix="one migration for each table: " + " | ".join(f"{first_line(t, 120).rstrip(';')};" for t in statements),
        observed={**lock_facts(item, lock), "tables": [held.relation.name for _, held in requests]},
        details=listed(
            [
                *(
                    f"line {u.item.seen.statement.place.line}: {k.mode.pg} on {short(k.relation.name)}"
                    for u, k in requests
                ),
                *blocked_lines(item.seen),
            ]
        ),
        severity=Severity.WARNING if item.down else None,
    )
