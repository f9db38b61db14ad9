"""A lock that is held while something else takes its time."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, listed, short
from pytest_pgmigrate.checks._hazards import claimed
from pytest_pgmigrate.checks._locks import (
    Work,
    blocked_lines,
    held_since,
    lock_facts,
    rows_phrase,
    scanned_under,
    taker,
    who_waits,
)
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG332", "lock-held-while-working", part=Part.LOCKS, severity=Severity.ERROR)
def lock_held_while_working(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """One table is locked while a later statement of the transaction reads the whole of another.

    Why it matters:
    A lock is held until its transaction ends. An ALTER TABLE that takes a millisecond keeps the application out for as
    long as the rest of the migration runs, and a full scan of another table may run for minutes.

    How it is measured:
    From the locks held by earlier statements of the same transaction, and the rows that this one read by full scans of
    a table that existed before. A scan of the locked table itself is PMG301 to PMG314, rows written are PMG341.

    How to fix:
    Read first and lock last, or make two migrations of it.

    When to ignore:
    When the table that is read is small in production: give its rows with pgmigrate_production_rows.

    References:
    https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
    """
    for found in scanned_under(evidence, settings, claimed(evidence)):
        yield _observe(evidence, found)


def _observe(evidence: MigrationEvidence, found: Work) -> Observation:
    item, name = found.item, found.count.relation.name
    first = taker(item, found.lock)
    statement = item.seen.statement
    held = f"; {held_since(item, found.lock)}"
    line = f"the statement of line {first.statement.place.line}" if first else "what takes the lock"
    return Observation(
        place=statement.place,
        message=f"this statement reads {rows_phrase(evidence, name, found.count.read)} of {short(name)}{held}",
        effect=f"{who_waits(found.lock)}, that is after all of {short(name)} was read",
        fix=f"move {line} behind this one, so that {short(found.lock.relation.name)} is locked last, "
        f"or into a migration of its own{_quoted(first.statement.text) if first else ''}",
        observed={**lock_facts(item, found.lock), "read": name, "rows_read": found.count.read},
        details=listed([*blocked_lines(item.seen), f"statement: {first_line(statement.text)}"]),
        severity=found.severity,
    )


def _quoted(text: str) -> str:
    return f": {first_line(text, 200).rstrip(';')};"
