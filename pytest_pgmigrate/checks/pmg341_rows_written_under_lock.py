"""A backfill in the transaction of the change that it fills."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, listed, short
from pytest_pgmigrate.checks._locks import (
    Work,
    blocked_lines,
    held_since,
    is_literal,
    lock_facts,
    rows_phrase,
    who_waits,
    written_under,
)
from pytest_pgmigrate.checks._sql import as_sql, batched
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _fix(found: Work) -> str:
    statement = found.item.seen.statement
    if is_literal(statement):
        return f"move it in front of what locks {short(found.lock.relation.name)}, or into a migration of its own"
    batch = batched(statement)
    if batch:
        return f"move it to the next migration, alone in its file, in batches: {batch}"
    return f"move it to the next migration, in batches that commit: {as_sql(statement)}"


@check("PMG341", "rows-written-under-lock", part=Part.LOCKS, severity=Severity.ERROR)
def rows_written_under_lock(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Rows are written while an earlier statement's lock keeps the application out.

    Why it matters:
    ALTER TABLE is over in a moment, but its lock stays until the transaction ends. With a backfill behind it in the
    same migration, every query of the table waits for the whole backfill.

    How it is measured:
    From the rows of existing tables that a statement inserted, updated or deleted, and the blocking locks that earlier
    statements of the same transaction still held. INSERT … VALUES is a warning: its text says how few rows it writes.

    How to fix:
    Change the table in one migration, write the rows in the next, in batches.

    When to ignore:
    When the table that is written is small in production: give its rows with pgmigrate_production_rows.

    References:
    https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
    """
    for found in written_under(evidence, settings):
        count, item = found.count, found.item
        name = count.relation.name
        yield Observation(
            place=item.seen.statement.place,
            message=f"this statement writes {rows_phrase(evidence, name, count.written)} of {short(name)}; "
            f"{held_since(item, found.lock)}",
            effect=f"{who_waits(found.lock)}, that is after all of these rows are written",
            fix=_fix(found),
            observed={**lock_facts(item, found.lock), "written": name, "rows_written": count.written},
            details=listed([*blocked_lines(item.seen), f"statement: {first_line(item.seen.statement.text)}"]),
            severity=found.severity,
        )
