"""The up once more on rows that lie in another physical order: what then differs depends on that order, or on chance.

PostgreSQL promises no order to a query without ORDER BY, so staging and production need not agree.
https://www.postgresql.org/docs/current/queries-order.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from pytest_pgmigrate.execution.names import plain
from pytest_pgmigrate.execution.volatile import Notes, reduce, reduced_rows
from pytest_pgmigrate.model.evidence import Unsteady
from pytest_pgmigrate.model.migration import Direction, Migration

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.trial import Trials

MOST_ROWS = 5_000
"""Rows looked through for those that differ, and moved within a table."""

_EXAMPLES = 3
_MOVABLE = """
SELECT a.attname::text FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
 WHERE a.attrelid = pg_catalog.to_regclass(%s) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
   AND a.attgenerated = '' AND a.attidentity <> 'a'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled IN ('A', 'R'))
 ORDER BY a.attnum DESC LIMIT 1
"""


def examine(
    trials: Trials, migration: Migration, tables: Sequence[str], notes: Notes, migrated: psycopg.Connection[Any]
) -> tuple[Unsteady, ...]:
    """Tables of ``notes`` (what the first up wrote) that come out otherwise when the rows of ``tables`` lie otherwise.

    ``migrated`` is connected to the database as lane A left it at version n.
    """
    if not notes.tables or not tables:
        return ()
    with trials.place() as place:
        since = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        if not shuffle(place.connection, tables) or place.run(migration, Direction.UP) is not None:
            return ()
        return tuple(_differing(place.connection, migrated, notes, since))


def shuffle(connection: psycopg.Connection[Any], tables: Iterable[str]) -> int:
    """Move about half the rows of each table (schema.table) behind the others; returns how many. Nothing else changes.

    An UPDATE writes a new row version; triggers and foreign keys are off, for no value changes.
    """
    moved = 0
    for table in tables:
        schema, _, name = table.partition(".")
        written = sql.Identifier(schema, name)
        try:
            with connection.transaction():
                columns = connection.execute(_MOVABLE, (written.as_string(connection),)).fetchall()
                if not columns:
                    continue
                connection.execute("SET LOCAL session_replication_role = replica")
                column = sql.Identifier(columns[0][0])
                moved += connection.execute(
                    sql.SQL(
                        "UPDATE ONLY {table} SET {column} = {column} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ONLY {table}"
                        " WHERE pg_catalog.hashtext(ctid::text) % 2 = 0 LIMIT {limit}))"
                    ).format(table=written, column=column, limit=MOST_ROWS)
                ).rowcount
                connection.execute("SET LOCAL session_replication_role = DEFAULT")
        except psycopg.Error:
            # No superuser, or a table that takes no UPDATE: its rows stay where they lie.
            if connection.closed:
                raise
    return moved


def _differing(
    shuffled: psycopg.Connection[Any], migrated: psycopg.Connection[Any], notes: Notes, since: str
) -> Iterable[Unsteady]:
    for table, first in notes.tables.items():
        second = reduce(shuffled, table, since, set(notes.tables), notes.uuids)
        if (first.count, first.total) == (second.count, second.total):
            continue
        old = reduced_rows(migrated, table, notes.since, notes, MOST_ROWS)
        new = reduced_rows(shuffled, table, since, notes, MOST_ROWS)
        both = [key for key in old if key in new and old[key] != new[key]]
        columns = list(dict.fromkeys(c for key in both for c in old[key] if old[key][c] != new[key].get(c)))
        examples = [
            f"{key}: {column} is {_text(old[key][column])} once and {_text(new[key].get(column))} the other time"
            for key in both[:_EXAMPLES]
            for column in columns[:1]
            if old[key][column] != new[key].get(column)
        ]
        only = [key for key in old if key not in new]
        examples += [f"{key}: there once and not the other time" for key in only[: _EXAMPLES - len(examples)]]
        yield Unsteady(plain(table), tuple(columns) if not only else (), tuple(examples))


def _text(value: str | None) -> str:
    if value is None or value == "\x01":
        return "NULL"
    return repr(value if len(value) <= 60 else value[:59] + "…")
