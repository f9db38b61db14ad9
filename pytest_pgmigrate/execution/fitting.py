"""Rows that fit the version an up leads to as well: tried when the up fails on rows that the version before allows.

An application about to be migrated writes rows that meet the constraints to come; only rows that nobody writes then
break the up, which is an assumption to be told and not a broken migration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from psycopg import sql

from pytest_pgmigrate.execution.database import OUR_SCHEMAS
from pytest_pgmigrate.model.migration import Direction

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.workspace import Workspace
    from pytest_pgmigrate.model.cluster import Seeder, SeedReport
    from pytest_pgmigrate.model.evidence import ServerError
    from pytest_pgmigrate.model.migration import Migration

_TABLES = """
SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ANY (%s)
"""


def about_rows(error: ServerError | None) -> bool:
    """Whether other rows might have let a script pass: data exceptions, broken constraints, exceptions of its own.

    https://www.postgresql.org/docs/current/errcodes-appendix.html, classes 22, 23 and P0.
    """
    return error is not None and (error.sqlstate[:2] in ("22", "23") or error.sqlstate == "P0001")


def refill(
    space: Workspace, migration: Migration, seeder: Seeder, tables: Sequence[str]
) -> tuple[SeedReport, ...] | None:
    """Make the base anew with rows in ``tables`` (schema.table, filled by us before) that fit version n too.

    None, with the base as it was, when the up fails without these rows as well, or on the new ones.
    """
    schema = _schema_after(space, migration, seeder, tables)
    if schema is None:
        return None
    filled = space.clone_base()
    try:
        _empty(filled, tables)
        reports = seeder.fill(filled.control, exclude_schemas=OUR_SCHEMAS, also=schema)
        if not any(report.filled for report in reports) or not _passes(space, filled, migration):
            space.spend(filled)
            return None
    except Exception:
        space.spend(filled)
        raise
    space.replace_base(filled)
    return reports


def _schema_after(space: Workspace, migration: Migration, seeder: Seeder, tables: Sequence[str]) -> object:
    """What the tables ask of rows at version n; None when the up fails on empty tables too."""
    database = space.clone_base()
    try:
        _empty(database, tables)
        if database.run("up on empty tables", migration, Direction.UP, watched=False).error is not None:
            return None
        return seeder.read_schema(database.control, exclude_schemas=OUR_SCHEMAS)
    finally:
        space.spend(database)


def _passes(space: Workspace, filled: Database, migration: Migration) -> bool:
    """Whether the up passes on a copy of the database."""
    filled.pause()
    database = space.copy(filled)
    try:
        return database.run("up on fitting rows", migration, Direction.UP, watched=False).error is None
    finally:
        space.spend(database)


def _empty(database: Database, tables: Sequence[str]) -> None:
    """Take out the rows of ``tables``; CASCADE, for what refers to them is filled by us too."""
    control = database.control
    there = {row[0] for row in control.execute(_TABLES, (list(tables),)).fetchall()}
    names = [sql.Identifier(*table.split(".", 1)) for table in tables if table in there]
    if not names:
        return
    with control.transaction():
        # Triggers of the user's on TRUNCATE are none of this matter.
        control.execute("SET LOCAL session_replication_role = replica")
        control.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(names)))
