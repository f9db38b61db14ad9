"""A backfill that leaves rows out."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import short, top
from pytest_pgmigrate.checks._sql import qualified, quoted
from pytest_pgmigrate.model.backfill import BackfillEvidence, LeftOut
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG722", "backfill-incomplete", part=Part.DATA, severity=Severity.ERROR)
def backfill_incomplete(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A batched backfill leaves rows without a value, or with the old one, that it could have filled.

    Why it matters:
    The next step takes the column for filled: NOT NULL fails there, or the new release reads NULL where a value was.

    How it is measured:
    An up that fills a column in a loop, with a LIMIT or by comparing with a number is run once more in a clone, on more
    rows than two batches (the largest number up to 10,000 in its text), with a gap in the keys wider than a batch and with
    keys below zero where the schema allows them. Rows that stay NULL are left out if a second run fills them, or the same
    rows are filled under other keys, or without the other rows; rows that have no value for what is in them are not.
    Rows with keys below zero alone are a warning. Likewise where the UPDATE, in a loop or with a LIMIT, asks for one value
    of the column it sets (SET status = 'new' … WHERE status = 'old'): all rows have the old value then, and none may keep
    it. A loop with a fixed number of turns, whose variable only counts them, is tried on more rows than all its batches
    take, up to 20,000. Rows that are told by other rows of the table (a newer one of the same customer) are not judged.

    How to fix:
    Let the batches run over all keys there are, from min to max, both included, and end only behind the last key, not
    at the first batch that changes nothing.

    When to ignore:
    When production has no such keys: say so in the reason. A fixed number of batches is fine for a table that has fewer rows
    in production: give them with pgmigrate_production_rows.

    References:
    https://www.postgresql.org/docs/current/sql-update.html
    """
    seen = evidence.drilled(BackfillEvidence)
    if seen is None or seen.left is None:
        return
    left = seen.left
    known = evidence.production_rows.get(left.table)
    if left.capacity and known is not None and known <= left.capacity and left.rows <= left.total - left.capacity:
        return
    table, column = short(left.table), left.column
    state = f"= {left.old}" if left.old else "IS NULL"
    query = f"SELECT count(*) FROM {qualified(left.table)} WHERE {quoted(column)} {state}"
    count = f"{left.rows:,} of {left.total:,} rows of {table}"
    yield Observation(
        place=left.statement.place if left.statement else top(evidence.migration.up),
        message=f"the backfill leaves {column} {left.old or 'NULL'} in {count}{_which(left)}: {left.how}",
        effect=f"the next step, and the new release, take {table}.{column} for {'changed' if left.old else 'filled'}",
        fix=_fix(left, query),
        observed={
            "table": left.table,
            "column": column,
            "rows": left.total,
            "left": left.rows,
            "negative_keys": left.negative,
            "behind_a_gap": left.after_gap,
            "batch": seen.limit,
            "old": left.old or None,
            "capacity": left.capacity or None,
        },
        details=(f"left out: {', '.join(left.keys)}{', …' if left.rows > len(left.keys) else ''}",),
        severity=Severity.WARNING if left.negative == left.rows else None,
    )


def _fix(left: LeftOut, query: str) -> str:
    table = short(left.table)
    if left.capacity and left.rows <= left.total - left.capacity:
        return (
            f"let the loop end when a batch of {table} finds no row, not after a fixed number of batches, which take "
            f"{left.capacity:,} rows at most; end with a check: {query}"
        )
    return (
        f"let the batches run from the smallest key of {table} to its largest, both included, and on after a batch "
        f"that finds nothing; end with a check: {query}"
    )


def _which(left: LeftOut) -> str:
    if left.negative == left.rows:
        return ", those with keys below zero"
    if left.after_gap == left.rows:
        return ", those behind a gap in the keys"
    return ""
