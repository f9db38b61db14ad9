"""A replica that stands still."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import top
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG502", "replica-not-caught-up", part=Part.REPLICA, severity=Severity.ERROR)
def replica_not_caught_up(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The replica did not replay the migration in time.

    Why it matters:
    A replica that stands still serves old data, and its primary keeps WAL until the disk is full.

    How it is measured:
    After the migration the replica gets 30 seconds to replay to the primary's position.

    How to fix:
    Look at the replica's log: a recovery conflict, a missing setting or tablespace.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/hot-standby.html
    """
    replica = evidence.replica
    if not replica.ran or replica.caught_up:
        return
    yield Observation(
        place=top(evidence.migration.up),
        message=f"the replica has not replayed the migration after {replica.seconds:.0f} s: {replica.reason}",
        effect="readers on the replica see the old schema and old data; the primary keeps WAL for it",
        fix="look at the replica's log; --pgmigrate-keep leaves the servers running",
        observed={"seconds": replica.seconds},
    )
