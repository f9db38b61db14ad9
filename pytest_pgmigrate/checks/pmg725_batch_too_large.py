"""Batches that are larger than they may be, or share one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import short, top
from pytest_pgmigrate.model.backfill import BackfillEvidence
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

FEWEST = 5
"""Rows a table must have here before "all of them" says anything."""

MOST = 0.9
"""Share of the rows from which on a transaction wrote the table."""


@check("PMG725", "batch-too-large", part=Part.DATA, severity=Severity.WARNING)
def batch_too_large(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The batches of a backfill take more rows than one may, or all share one transaction.

    Why it matters:
    The rows of a batch stay locked until its transaction ends. Batches without a COMMIT between them lock as many rows
    as one statement for the whole table would.

    How it is measured:
    Rows written by each statement and each transaction of a batched backfill, on more rows than two batches, against
    pgmigrate_max_rows_per_statement; and, here, several UPDATE statements of one transaction that together write at
    least 90 % of a table of 5 or more rows. One statement that writes them all is PMG340.

    How to fix:
    Smaller batches, each in a transaction of its own.

    When to ignore:
    When nobody writes the table while the migration runs.

    References:
    https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS
    """
    seen, most = evidence.drilled(BackfillEvidence), settings.max_rows_per_statement
    if seen is not None and most is not None and seen.statements > 1 and seen.most_in_statement > most:
        table = short(seen.table)
        yield Observation(
            place=seen.statement.place if seen.statement else top(evidence.migration.up),
            message=f"a batch of {table} writes {seen.most_in_statement:,} rows, more than {most:,} in one statement",
            effect=f"the application's UPDATE and DELETE of these rows of {table} wait until the batch commits",
            fix=f"write at most {most:,} rows of {table} at a time, each batch in a transaction of its own",
            observed={"table": seen.table, "rows": seen.most_in_statement, "in_transaction": seen.most_in_transaction},
        )
    yield from _shared(evidence)


def _shared(evidence: MigrationEvidence) -> Iterator[Observation]:
    """Several statements of one transaction that write a table piece by piece."""
    written: dict[tuple[int, str], list[tuple[int, int]]] = defaultdict(list)
    statements = evidence.up.watched if evidence.up is not None else ()
    for seen in statements:
        for counts in seen.counts:
            if counts.updated and not counts.relation.new and not seen.stops and seen.statement.kind == "update_stmt":
                written[seen.transaction, counts.relation.name].append((seen.index, counts.updated))
    for (_, table), pieces in written.items():
        rows = evidence.rows_before.get(table, 0)
        total, largest = sum(n for _, n in pieces), max(n for _, n in pieces)
        if len(pieces) < 3 or rows < FEWEST or total < MOST * rows or largest >= MOST * rows or total > rows:
            continue
        last = next(seen.statement for seen in statements if seen.index == pieces[-1][0])
        yield Observation(
            place=last.place,
            message=f"{len(pieces)} batches write {total:,} of {rows:,} rows of {short(table)} in one transaction",
            effect=f"UPDATE and DELETE of all these rows of {short(table)} wait until the last batch is done",
            fix="send the file statement by statement (-- pgmigrate: no-transaction <reason>), or one DO block with "
            "COMMIT after each batch",
            observed={"table": table, "rows": total, "statements": len(pieces)},
        )
