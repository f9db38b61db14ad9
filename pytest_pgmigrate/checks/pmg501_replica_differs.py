"""A replica that is not the primary's equal."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import listed, top
from pytest_pgmigrate.checks._rows import counts, row_lines
from pytest_pgmigrate.checks._words import differs
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG501", "replica-differs", part=Part.REPLICA, severity=Severity.ERROR)
def replica_differs(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """After the migration the replica holds something else than the primary.

    Why it matters:
    Reads go to replicas. What is not logged (UNLOGGED tables, hash-like shortcuts, faults of replication) is
    missing there.

    How it is measured:
    The replica replays to the primary's position; then its catalog and the touched tables are compared with the
    primary's.

    How to fix:
    Do not use UNLOGGED for data that replicas serve; report a difference in logged tables to the PostgreSQL
    project.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/warm-standby.html
    """
    replica = evidence.replica
    if not replica.caught_up or not replica.difference:
        return
    lines = listed([*map(differs, replica.difference.objects), *map(counts, replica.difference.tables)])
    yield Observation(
        place=top(evidence.migration.up),
        message=f"the replica differs from the primary: {lines[0] if lines else 'sequences'}",
        effect="readers on the replica see other data than writers on the primary, and a failover loses the difference",
        fix="keep the table logged (ALTER TABLE … SET LOGGED), or do not read it on replicas",
        observed={"differences": len(replica.difference.objects) + len(replica.difference.tables)},
        details=(*lines, *(line for c in replica.difference.tables for line in row_lines(c))),
    )
