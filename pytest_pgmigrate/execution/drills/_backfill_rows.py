"""The rows a backfill is tried on: more than two batches, a gap in the keys wider than a batch, keys below zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from pytest_pgmigrate.errors import SeedError
from pytest_pgmigrate.execution.database import OUR_SCHEMAS

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.drills import Context

MOST_ROWS = 20_000
"""Rows written at most, whatever batch the text speaks of."""

BEYOND = 3
"""Rows that stand behind the gap."""

NEGATIVE = 2
"""Rows with a key below zero."""

PAIRS = 100
"""Rows that change places with others at most."""

_KEY = """
SELECT a.attname, a.atttypid::regtype::text IN ('integer', 'bigint', 'smallint'), a.attidentity
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
 WHERE i.indrelid = %s AND i.indisprimary
"""
_OTHERS = """
SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND c.oid <> %s
"""


@dataclass(frozen=True, slots=True)
class Target:
    """The table and the column that the up fills; a clone has the same ``oid``. ``key``: its primary key's one column,
    "" where it has none or more; ``whole``: the key is a whole number; ``limit``: rows of a batch, by the text.
    ``old``: the value (SQL) that the up replaces instead of NULL; ``capacity``: rows that all batches take at most.
    """

    oid: int
    table: str
    column: str
    key: str
    whole: bool
    identity: str
    limit: int
    old: str = ""
    capacity: int = 0

    @property
    def rows(self) -> int:
        """Rows to add."""
        batches = max(2 * max(self.limit, 10), self.capacity if self.capacity < MOST_ROWS else 0)
        return min(batches + BEYOND + NEGATIVE, MOST_ROWS)

    def sql(self, text: str) -> sql.Composed:
        """``text`` with {table}, {column} and {key} as SQL names, {old} as the value that the up replaces."""
        table = sql.Identifier(*self.table.split(".", 1))
        return sql.SQL(text).format(
            table=table,
            column=sql.Identifier(self.column),
            key=sql.Identifier(self.key or "_"),
            old=sql.SQL(self.old or "NULL"),
        )


def key_of(connection: psycopg.Connection[Any], oid: int) -> tuple[str, bool, str]:
    """The one column of the table's primary key, whether it is a whole number, and its identity kind; "" without."""
    found = connection.execute(_KEY, (oid,)).fetchall()
    return found[0] if len(found) == 1 else ("", False, "")


def prepare(context: Context, target: Target, *, existing: bool) -> Database | None:
    """A clone of the base with the rows to try the up on; None where the table does not admit them.

    ``existing``: the column is there already at version n-1. The same call gives the same rows.
    """
    database = context.space.clone_base()
    try:
        if _write(context, database, target) and (not existing or reset(database, target)):
            return database
    except (psycopg.Error, SeedError):
        pass
    context.space.spend(database)
    return None


def again(context: Context, database: Database) -> Database:
    """A copy of a prepared database, on which nothing has run yet."""
    database.pause()
    return context.space.copy(database)


def _write(context: Context, database: Database, target: Target) -> bool:
    control = database.control
    others = [name for (name,) in control.execute(_OTHERS, (target.oid,)).fetchall()]
    first = control.execute(target.sql("SELECT max({key}) FROM {table}")).fetchall()[0][0] if target.whole else 0
    # Rows as an application about to be migrated writes them: such as fit the version to come.
    also = context.seeder.read_schema(context.work.control, exclude_schemas=OUR_SCHEMAS, tables=[target.table])
    reports = context.seeder.write_more(
        control, exclude_schemas=OUR_SCHEMAS, rows=target.rows, exclude_tables=others, also=also
    )
    if not any(report.filled for report in reports):
        return False
    if target.whole:
        _spread(control, target, int(first or 0))
    return True


def _quietly(control: psycopg.Connection[Any], statements: Iterable[sql.Composed]) -> bool:
    """Run statements with the user's triggers and foreign keys off; False, with nothing done, when one is refused."""
    with suppress(psycopg.Error), control.transaction():
        control.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            control.execute(statement)
        return True
    return False


def _spread(control: psycopg.Connection[Any], target: Target, first: int) -> None:
    """Move the last of the new rows behind a gap and give the first of them keys below zero, where that is allowed."""
    if target.identity == "a":
        _quietly(control, [target.sql("ALTER TABLE {table} ALTER COLUMN {key} SET GENERATED BY DEFAULT")])
    gap = 2 * max(target.limit, 10)
    _quietly(
        control,
        [
            target.sql(
                f"UPDATE {{table}} SET {{key}} = {{key}} + {gap} WHERE {{key}} IN"
                f" (SELECT {{key}} FROM {{table}} WHERE {{key}} > {first} ORDER BY 1 DESC LIMIT {BEYOND})"
            )
        ],
    )
    _quietly(
        control,
        [
            target.sql(
                f"UPDATE {{table}} SET {{key}} = -{{key}} WHERE {{key}} IN"
                f" (SELECT {{key}} FROM {{table}} WHERE {{key}} > {first} ORDER BY 1 LIMIT {NEGATIVE})"
            )
        ],
    )


def reset(database: Database, target: Target) -> bool:
    """Give the rows the value they have before the backfill; False where the table does not let us."""
    return _quietly(
        database.control, [target.sql("UPDATE {table} SET {column} = {old} WHERE {column} IS DISTINCT FROM {old}")]
    )


def left(connection: psycopg.Connection[Any], target: Target) -> list[str]:
    """The keys, as text, of the rows without a (new) value; in the order of the keys. Without a key, their places."""
    key = "{key}" if target.key else "ctid"
    query = target.sql(
        f"SELECT {key}::text FROM {{table}} WHERE {{column}} IS NOT DISTINCT FROM {{old}} ORDER BY {key}"
    )
    return [value for (value,) in connection.execute(query).fetchall()]


def count(connection: psycopg.Connection[Any], target: Target) -> int:
    """Rows of the table."""
    return int(connection.execute(target.sql("SELECT count(*) FROM {table}")).fetchall()[0][0])


def keep_only(database: Database, target: Target, keys: Sequence[str]) -> bool:
    """Delete every row of the table but these."""
    listed = sql.Literal(list(keys))
    statement = target.sql("DELETE FROM {table} WHERE {key}::text <> ALL ") + sql.SQL("({}::text[])").format(listed)
    return _quietly(database.control, [statement])


def swap(database: Database, target: Target, keys: Sequence[str], fresh: Callable[[int], bool]) -> dict[str, str]:
    """Let rows ``keys`` (of those that are ``fresh``) change keys with others; their new keys by their old ones."""
    control = database.control
    every = [int(k) for (k,) in control.execute(target.sql("SELECT {key} FROM {table} ORDER BY 1")).fetchall()]
    mine = [int(key) for key in keys if fresh(int(key))]
    others = [key for key in every if fresh(key) and key not in set(mine)]
    # From the middle of the others: their own ends may be no better a place.
    start = max((len(others) - len(mine)) // 2, 0)
    pairs = list(zip(mine, others[start:], strict=False))[:PAIRS]
    if not pairs:
        return {}
    away = max(abs(every[0]), abs(every[-1])) + 1
    moves = [(a, away + n) for n, (a, _) in enumerate(pairs)]
    moves += [(b, a) for a, b in pairs]
    moves += [(away + n, b) for n, (_, b) in enumerate(pairs)]
    statements = [target.sql(f"UPDATE {{table}} SET {{key}} = {new} WHERE {{key}} = {old}") for old, new in moves]
    return {str(a): str(b) for a, b in pairs} if _quietly(control, statements) else {}
