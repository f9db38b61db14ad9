"""Where the sequences stand, and how they are put back there.

A number that was drawn is gone: a ROLLBACK does not return it, and after a crash a sequence stands up to 32 numbers ahead.
What is numbered after that has other numbers than in a clean run, and nothing is wrong with it.
https://www.postgresql.org/docs/current/functions-sequence.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

Standing = Mapping[str, tuple[int, bool]]
"""``last_value`` and ``is_called`` by name, as it is written in SQL."""

# One that a held transaction has changed is locked against being read; one that it has made cannot be seen.
_NAMES = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND NOT EXISTS (
       SELECT FROM pg_catalog.pg_locks l
        WHERE l.locktype = 'relation' AND l.relation = c.oid AND l.mode = 'AccessExclusiveLock' AND l.granted
          AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
 ORDER BY 1
"""


def standing(connection: psycopg.Connection[Any]) -> Standing:
    """All sequences that can be read now. Raises psycopg.Error."""
    names = [name for (name,) in connection.execute(_NAMES).fetchall()]
    query = " UNION ALL ".join(f"SELECT {index}, last_value, is_called FROM {name}" for index, name in enumerate(names))
    rows = connection.execute(query.encode()).fetchall() if names else []
    return {names[index]: (last, called) for index, last, called in rows}


def moved(connection: psycopg.Connection[Any], stood: Standing) -> Standing:
    """Sequences that stand elsewhere now, with where they stood. Raises psycopg.Error."""
    now = standing(connection)
    return {name: value for name, value in stood.items() if now.get(name, value) != value}


def put_back(connection: psycopg.Connection[Any], stood: Standing) -> None:
    """Set what has moved back to where it stood. Raises psycopg.Error."""
    for name, value in moved(connection, stood).items():
        connection.execute("SELECT pg_catalog.setval(%s::regclass, %s, %s)", (name, *value))
