"""A backfill that cannot go on after it was cut."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import listed, short, top
from pytest_pgmigrate.model.backfill import BackfillEvidence
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG724", "backfill-not-resumable", part=Part.DATA, severity=Severity.ERROR)
def backfill_not_resumable(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A batched backfill that was cut after a batch does not come to the same end when it is run again.

    Why it matters:
    A backfill runs for hours and is cut by a deploy, a time-out or a failover; the batches that were committed stay. The
    second run must do the rest, and nothing twice.

    How it is measured:
    On more rows than two of its batches, in a clone: once from start to end; once cut by an error in its second
    batch, and run again. Then all tables must hold the same rows, clocks and the
    numbers that were drawn from a sequence and lost aside. Where a second run changes something
    without a cut, PMG203 says it.

    How to fix:
    Ask in each batch for the rows that have no value yet, and write what else a batch writes with ON CONFLICT.

    When to ignore:
    When somebody cleans up by hand after an interruption: say so in the reason.

    References:
    https://www.postgresql.org/docs/current/plpgsql-transactions.html
    """
    seen = evidence.drilled(BackfillEvidence)
    cut = seen.cut if seen is not None else None
    if seen is None or cut is None or not (cut.error or cut.differing):
        return
    if evidence.rerun is not None and evidence.rerun.difference:
        return  # no cut is needed for that: PMG203 says it
    what = f"then fails: {cut.error}" if cut.error else f"then leaves something else in {_tables(cut.differing)}"
    yield Observation(
        place=cut.statement.place if cut.statement else top(evidence.migration.up),
        message=f"the backfill of {short(seen.table)} was cut after its first batch, and run again it {what}",
        effect="after a time-out, a deploy or a failover in its middle somebody has to put the rows right by hand",
        fix=f"take in each batch only the rows of {short(seen.table)} that are still to do (WHERE the new column IS NULL), "
        "create with IF NOT EXISTS, and insert with ON CONFLICT",
        observed={"table": seen.table, "rows": seen.rows, "transactions": seen.transactions, "error": cut.error},
        details=listed(cut.differing),
    )


def _tables(differing: tuple[str, ...]) -> str:
    return ", ".join(short(line.split(":", 1)[0]) for line in differing[:3])
