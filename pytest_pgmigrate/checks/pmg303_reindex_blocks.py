"""An index rebuilt while writes wait."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import short
from pytest_pgmigrate.checks._hazards import Group, found, observe
from pytest_pgmigrate.checks._sql import replaced
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _fix(group: Group) -> str:
    if not group.statement.kind.startswith("REINDEX"):
        return f"in a file of its own, outside any transaction: REINDEX TABLE CONCURRENTLY {group.table};"
    pattern = r"^REINDEX\s*(\([^)]*\)\s*)?(INDEX|TABLE|SCHEMA|DATABASE|SYSTEM)\b"
    alone = replaced(group.statement, pattern, r"REINDEX \1\2 CONCURRENTLY")
    return f"in a file of its own, outside any transaction: {alone}"


@check("PMG303", "reindex-blocks", part=Part.LOCKS, severity=Severity.ERROR)
def reindex_blocks(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """An index is built anew while the application waits.

    Why it matters:
    REINDEX holds ShareLock on the table, so writes wait, and AccessExclusiveLock on the index: every query locks all
    indexes of its tables while it is planned, so reads wait as well. The whole table is read for each index.

    How it is measured:
    The index's file before and after the statement, the locks in force before COMMIT, the rows read.

    How to fix:
    REINDEX … CONCURRENTLY, as the only statement of its file.

    When to ignore:
    The table is small, or the application is stopped. Better: give its row count with --pgmigrate-production-rows.

    References:
    https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY
    """
    for group in found(evidence, settings, "PMG303"):
        names = ", ".join(short(index.name) for hazard in group.hazards for index in hazard.indexes)
        effect = f"queries that are planned meanwhile wait for {names}, reads included"
        yield observe(group, f"building {names} anew", _fix(group), effect=effect)
