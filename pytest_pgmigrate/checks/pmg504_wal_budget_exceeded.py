"""More WAL than was agreed on."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.replica import ReplicaReader
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

SHOWN = 5
"""Statements listed, those that wrote most."""


@check("PMG504", "wal-budget-exceeded", part=Part.REPLICA, severity=Severity.WARNING)
def wal_budget_exceeded(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The up writes more WAL than `pgmigrate_max_wal_bytes` allows.

    Why it matters:
    Every byte is sent to every replica and replayed there by one process, in order. Until it is through, replicas show
    old data, and the primary keeps the WAL on its disk.

    How it is measured:
    WAL insert positions before and after each statement of the first up, on the rows that the tables have in this run;
    full_page_writes is off there. The JSON report also has the seconds that a replica needed for what is larger than
    1 MB.

    How to fix:
    Write in batches, each a transaction of its own, with a look at the replica's lag between them; do not rewrite tables.

    When to ignore:
    When nothing is read on replicas meanwhile.

    References:
    https://www.postgresql.org/docs/current/wal-intro.html
    """
    budget, up = settings.max_wal_bytes, evidence.up
    if budget is None or up is None or evidence.status != "examined":
        return
    total = sum(seen.wal_bytes for seen in up.watched)
    if total <= budget:
        return
    ranked = sorted(up.watched, key=lambda seen: -seen.wal_bytes)
    most = ranked[0]
    drilled = evidence.drilled(ReplicaReader)
    replay = drilled.replay if drilled is not None else None
    yield Observation(
        place=most.statement.place,
        message=f"the up writes {total:,} bytes of WAL, {budget:,} are allowed; {most.wal_bytes:,} of them are this statement's",
        effect="replicas replay it in one go and show data of before meanwhile; the primary keeps that much on its disk",
        fix="write in batches that commit, and wait for the replica between them (pgmigrate_max_replica_lag)",
        observed={
            "wal_bytes": total,
            "budget": budget,
            "statement_wal_bytes": most.wal_bytes,
            "replay_seconds": round(replay.seconds, 4) if replay is not None else None,
        },
        details=tuple(
            f"line {seen.statement.place.line}: {seen.wal_bytes:,} bytes: {first_line(seen.statement.text, 70)}"
            for seen in ranked[:SHOWN]
            if seen.wal_bytes
        ),
    )
