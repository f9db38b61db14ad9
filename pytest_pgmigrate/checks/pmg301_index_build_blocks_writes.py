"""An index built while writes wait."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import last_part
from pytest_pgmigrate.checks._hazards import Group, found, observe
from pytest_pgmigrate.checks._sql import as_sql, derived, qualified, replaced
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _fix(group: Group) -> str:
    statement = group.statement
    names = ", ".join(last_part(i.name) for h in group.hazards for i in h.indexes)
    if "INDEX" not in statement.kind:
        return f"build {names} in a migration of its own that holds nothing but CREATE INDEX CONCURRENTLY … ON {group.table}"
    parents = {parent for hazard in group.hazards for parent in hazard.relation.parents}
    if parents & {lock.relation.name for lock in group.first.item.seen.held}:
        return _partitioned(group)
    alone = replaced(statement, r"\bINDEX\b(?!\s+CONCURRENTLY)", "INDEX CONCURRENTLY")
    return f"in a file of its own, outside any transaction: {alone}"


def _partitioned(group: Group) -> str:
    """CONCURRENTLY is refused for a partitioned table: the index of the parent alone, then that of each partition."""
    statement = group.statement
    parent = replaced(statement, r"\bON\s+(?!ONLY\b)", "ON ONLY ")
    name = statement.creates[0] if statement.creates else ""
    lines = [parent]
    for hazard in group.hazards:
        # The columns stand behind the table's name, in whatever form it was written.
        columns = as_sql(statement).partition("(")
        own = derived(hazard.relation.name, name or "idx")
        unique = "UNIQUE " if "UNIQUE" in statement.kind else ""
        made = f"CREATE {unique}INDEX CONCURRENTLY {own} ON {qualified(hazard.relation.name)} {columns[1]}{columns[2]}"
        lines.append(f"{made} ALTER INDEX {qualified(name) if name else '<index>'} ATTACH PARTITION {own};")
    return "step by step, each CONCURRENTLY in a file of its own: " + " ".join(lines)


@check("PMG301", "index-build-blocks-writes", part=Part.LOCKS, severity=Severity.ERROR)
def index_build_blocks_writes(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """An index is built on an existing table while the application's writes wait.

    Why it matters:
    CREATE INDEX reads and sorts the whole table under ShareLock. For as long as that takes, no row can be inserted,
    updated or deleted; on a large table that is minutes.

    How it is measured:
    The locks in force after the statement, before COMMIT; the new index's file; the rows read from the table.

    How to fix:
    CREATE INDEX CONCURRENTLY, as the only statement of its file. For a partitioned table: CREATE INDEX … ON ONLY the
    parent, CREATE INDEX CONCURRENTLY on each partition, ALTER INDEX … ATTACH PARTITION.

    When to ignore:
    The table is small, or nobody writes while migrations run. Better: give its row count with
    --pgmigrate-production-rows.

    References:
    https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    https://www.postgresql.org/docs/current/ddl-partitioning.html
    """
    for group in found(evidence, settings, "PMG301"):
        yield observe(group, "CREATE INDEX", _fix(group))
