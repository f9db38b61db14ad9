"""A whole table written by one statement."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, listed, short
from pytest_pgmigrate.checks._locks import (
    Watched,
    blocked_lines,
    is_small,
    known_rows,
    rows_phrase,
    watched,
    written_rows,
    written_under,
)
from pytest_pgmigrate.checks._sql import BATCH, batched
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.watch import Counts
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

FEWEST = 5
"""Rows a table must have here before "all of them" says anything."""

MOST = 0.9
"""Share of a table's rows from which on one statement wrote the table, not some of its rows."""


def _batches_itself(item: Watched) -> bool:
    """Commits in its own middle: what it wrote in all was not one statement's."""
    seen = item.seen
    routine = seen.statement.kind in ("do_stmt", "call_stmt")
    return seen.stops > 0 or (
        routine and re.search(r"\b(COMMIT|CALL)\b", seen.statement.text, re.IGNORECASE) is not None
    )


def _whole(item: Watched, count: Counts) -> bool:
    rows = item.evidence.rows_before.get(count.relation.name, 0)
    return rows >= FEWEST and count.updated + count.deleted >= MOST * rows


def _severity(item: Watched, count: Counts, settings: Settings) -> Severity | None:
    """Warning until row counts say more; None where they say that it is little."""
    known, most = known_rows(item.evidence, count.relation.name), settings.max_rows_per_statement
    worst = Severity.WARNING if item.down else Severity.ERROR
    if most is not None and count.written > most:
        return worst
    if not _whole(item, count):
        return None
    if most is not None and known is not None:
        return worst if known > most else None
    return None if is_small(item.evidence, settings, count.relation.name) else Severity.WARNING


@check("PMG340", "unbatched-write", part=Part.LOCKS, severity=Severity.WARNING)
def unbatched_write(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """One statement writes every row of a table.

    Why it matters:
    All rows stay locked until it commits, so that the application's updates of any of them wait; the old versions of all
    rows stay in the table until VACUUM, and the replica gets the whole change as one lump.

    How it is measured:
    From the rows updated and deleted, against the rows that the table had: at least 90 % of 5 or more. With
    pgmigrate_max_rows_per_statement it is an error where production has more rows than that, and where one statement
    wrote more here. Where the same write runs under a blocking lock, PMG341 says it.

    How to fix:
    Write in batches of some thousand rows, each in a transaction of its own.

    When to ignore:
    When the table is small: give its rows with pgmigrate_production_rows.

    References:
    https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS
    https://www.postgresql.org/docs/current/plpgsql-transactions.html
    """
    told = {work.key for work in written_under(evidence, settings)}
    for item in watched(evidence):
        if item.seen.failed or (item.step.name, item.seen.index) in told or _batches_itself(item):
            continue
        if item.down and item.seen.statement.kind == "delete_stmt":
            continue  # whether these rows should go at all is what PMG403 and PMG408 judge
        for count in written_rows(item.seen):
            severity = _severity(item, count, settings)
            if severity is not None:
                yield _observe(item, count, severity, settings)
                break


def _observe(item: Watched, count: Counts, severity: Severity, settings: Settings) -> Observation:
    statement, name = item.seen.statement, count.relation.name
    every = "all " if _whole(item, count) else ""
    most = settings.max_rows_per_statement
    limit = f", more than {most:,} in one statement" if severity is Severity.ERROR and most is not None else ""
    verb = "deletes" if count.deleted > count.updated else "writes"
    batch = batched(statement)
    advice = (
        f"outside a transaction, alone in its migration: {batch}"
        if batch
        else f"write at most {BATCH:,} rows at a time"
    )
    return Observation(
        place=statement.place,
        message=f"one statement {verb} {every}{rows_phrase(item.evidence, name, count.written)} of {short(name)}{limit}",
        effect=f"UPDATE and DELETE of these rows of {short(name)} wait until it commits, and the replica gets all of it at once",
        fix=f"{advice}{'' if batch else ', each batch in a transaction of its own'}",
        observed={
            "step": item.step.name,
            "relation": name,
            "rows_written": count.written,
            "rows_before": item.evidence.rows_before.get(name),
            "production_rows": known_rows(item.evidence, name),
            "wal_bytes": item.seen.wal_bytes,
        },
        details=listed([*blocked_lines(item.seen), f"statement: {first_line(statement.text)}"]),
        severity=severity,
    )
