"""A table written anew by anything else."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._hazards import Group, found, observe
from pytest_pgmigrate.checks._sql import column_of, derived, qualified
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_ACTIONS = {
    "SetLogged": "SET LOGGED",
    "SetUnLogged": "SET UNLOGGED",
    "SetTableSpace": "SET TABLESPACE",
    "SetAccessMethod": "SET ACCESS METHOD",
}


def _doer(group: Group) -> str:
    kind = group.statement.kind
    commands = {"VACUUM": "VACUUM FULL", "cluster_stmt": "CLUSTER"}
    actions = [name for word, name in _ACTIONS.items() if any(k.endswith(word) for k in group.statement.kinds)]
    return commands.get(kind) or (actions[0] if actions else "this statement")


def _fix(group: Group) -> str:
    table, doer = group.table, _doer(group)
    if doer == "VACUUM FULL":
        return (
            f"VACUUM {table}; frees the space for new rows and blocks nobody; to give it back to the disk: "
            f"pg_repack --table={table}, outside of migrations"
        )
    if doer == "CLUSTER":
        return f"pg_repack --table={table} --order-by=<columns>, outside of migrations: it sorts the table while it is used"
    if doer == "SET UNLOGGED":
        return f"leave {table} logged, or fill a table that is unlogged from the start: CREATE UNLOGGED TABLE …"
    if group.statement.kind.startswith("ALTER INDEX"):
        space = column_of(group.statement, r"\bSET\s+TABLESPACE\s+{name}") or "<tablespace>"
        names = " ".join(
            f"REINDEX (TABLESPACE {space}) INDEX CONCURRENTLY {qualified(index.name)};" for index in group.first.indexes
        )
        return f"in a file of its own, outside any transaction: {names}"
    if doer in _ACTIONS.values():
        new = derived(table, "new")
        return (
            f"make {new} beside it with CREATE TABLE {new} (LIKE {table} INCLUDING ALL), copy in batches behind a trigger, "
            f"and swap the names; or do it while the application is stopped: {doer} copies every row"
        )
    return f"split it: one plain statement a migration, so that what writes {table} anew can be replaced by steps in batches"


@check("PMG307", "table-rewritten", part=Part.LOCKS, severity=Severity.ERROR)
def table_rewritten(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """An existing table is written anew as a whole while nobody can use it.

    Why it matters:
    VACUUM FULL, CLUSTER, SET LOGGED, SET UNLOGGED, SET TABLESPACE and SET ACCESS METHOD copy the table and its
    indexes under AccessExclusiveLock. What a DO block or a function rewrites is found here as well.

    How it is measured:
    The table's file before and after the statement, and the lock it held. TRUNCATE, which copies nothing, does not
    count.

    How to fix:
    Plain VACUUM instead of VACUUM FULL; pg_repack where the space or the order matters; otherwise a new table, filled
    in batches and swapped in.

    When to ignore:
    The table is small, or the application is stopped. Better: give its row count with --pgmigrate-production-rows.

    References:
    https://www.postgresql.org/docs/current/sql-vacuum.html
    https://www.postgresql.org/docs/current/sql-cluster.html
    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
    """
    for group in found(evidence, settings, "PMG307"):
        yield observe(group, _doer(group), _fix(group))
