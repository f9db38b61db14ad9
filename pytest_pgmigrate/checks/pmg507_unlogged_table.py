"""A table of which replicas have no row."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import last_part, short, top
from pytest_pgmigrate.checks._sql import qualified
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Place, Script
from pytest_pgmigrate.model.replica import UnloggedTable
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG507", "unlogged-table", part=Part.REPLICA, severity=Severity.WARNING)
def unlogged_table(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The up makes a table unlogged: a replica has none of its rows, and refuses to read it.

    Why it matters:
    An unlogged table writes no WAL. On a replica a SELECT from it fails, after a failover it is empty, after a crash
    as well.

    How it is measured:
    The catalog after the up. It is a warning for a table that was there before, for somebody may read it on a replica;
    information for a new one.

    How to fix:
    Keep it logged, or keep its readers on the primary.

    When to ignore:
    For caches and staging tables that can be filled again.

    References:
    https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-UNLOGGED
    """
    for table in evidence.replica.unlogged:
        yield _observation(evidence, table)


def _observation(evidence: MigrationEvidence, table: UnloggedTable) -> Observation:
    name = short(table.name)
    if table.existed:
        message = f"{name} becomes unlogged: its {table.rows:,} rows are gone from the replica, a SELECT there fails"
        fix = f"leave {name} logged: the next migration can undo it with ALTER TABLE {qualified(table.name)} SET LOGGED"
    else:
        message = f"{name} is unlogged: the replica has none of its rows, a SELECT there fails"
        fix = f"CREATE TABLE {qualified(table.name)} without UNLOGGED, unless it is read on the primary only"
    return Observation(
        place=_place(evidence.migration.up, table),
        message=message,
        effect="whoever reads it on a replica gets an error; after a failover or a crash it is empty",
        fix=fix,
        observed={"table": table.name, "existed": table.existed, "rows": table.rows},
        severity=Severity.WARNING if table.existed else Severity.INFO,
    )


def _place(script: Script, table: UnloggedTable) -> Place:
    """The statement that makes it so, else the file."""
    wanted = last_part(table.name)
    for statement in script.statements:
        named = {last_part(name) for name in (*statement.creates, *statement.relations)}
        if wanted in named and "unlogged" in statement.text.lower():
            return statement.place
    return top(script)
