"""A backfill that does not pause between its batches."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import short, top
from pytest_pgmigrate.model.backfill import BackfillEvidence
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_PAUSE = re.compile(r"pg_sleep|pg_stat_replication|\bCALL\b", re.IGNORECASE)


@check("PMG726", "backfill-not-paced", part=Part.DATA, severity=Severity.INFO)
def backfill_not_paced(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A batched backfill writes batch after batch without a pause.

    Why it matters:
    The replica replays on one process what the primary writes; without a pause it falls behind, and readers there see old
    rows for as long.

    How it is measured:
    Two or more batches committed, and neither pg_sleep nor a look at pg_stat_replication between them. How many bytes the
    replica was behind when a batch began is told for comparison: it hangs on the machine.

    How to fix:
    Pause between two batches, or wait until pg_stat_replication says that the replica has caught up.

    When to ignore:
    When there is no replica that anybody reads.

    References:
    https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
    """
    seen = evidence.drilled(BackfillEvidence)
    if seen is None or seen.statement is None or seen.transactions < 2 or _PAUSE.search(seen.statement.text):
        return
    yield Observation(
        place=seen.statement.place if seen.statement else top(evidence.migration.up),
        message=f"{seen.transactions} batches of at most {seen.most_in_transaction:,} rows of {short(seen.table)} follow "
        "each other without a pause",
        effect=f"the replica falls behind while they run (here by {seen.lag:,} bytes at most)",
        fix="pause after each COMMIT: PERFORM pg_sleep(0.05), or wait for replay_lsn in pg_stat_replication",
        observed={
            "table": seen.table,
            "transactions": seen.transactions,
            "rows_in_transaction": seen.most_in_transaction,
            "lag_bytes": seen.lag,
        },
    )
