"""Rows that a second up inserts again."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import acknowledged, data_changes, short, top, writer
from pytest_pgmigrate.checks._rows import row_lines
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG703", "reference-rows-doubled", part=Part.REAPPLY, severity=Severity.ERROR)
def reference_rows_doubled(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The down leaves the rows that the up inserted, as agreed, and a second up inserts them again.

    Why it matters:
    Rows that are left on purpose are there when the release is deployed again. Without a key that says so the up
    inserts them twice: two statuses of one name, two prices for one product.

    How it is measured:
    The rows after the first up, and after a second one over what the down left.

    How to fix:
    Give the rows a key of their own and write ON CONFLICT DO NOTHING, or insert only WHERE NOT EXISTS.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/sql-insert.html
    """
    again, rerun = evidence.again, evidence.rerun
    if again is None or again.name != "up on leftovers" or again.error is not None or evidence.down is None:
        return
    # Rows that are left without a word are the down's fault, rows that a mere rerun doubles the up's: said there.
    said = {c.table for c in data_changes(evidence.down) if not acknowledged(evidence.migration, c.table)}
    said |= {change.table for change in rerun.difference.tables} if rerun is not None else set()
    for change in again.difference.tables:
        statement = writer(change, evidence.migration.up)
        if change.table in said or change.new_count <= change.old_count or statement is None:
            continue
        table = short(change.table)
        yield Observation(
            place=statement.place if statement else top(evidence.migration.up),
            message=f"the second up inserts again what the down left in {table}: {change.new_count} rows, "
            f"{change.old_count} after the first up",
            effect=f"after a rollback and a new deploy the application finds them twice in {table}",
            fix="give the rows a unique key and add ON CONFLICT DO NOTHING, or insert only WHERE NOT EXISTS",
            observed={"table": change.table, "rows_first": change.old_count, "rows_second": change.new_count},
            details=row_lines(change),
        )
