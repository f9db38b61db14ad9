"""Shows one session a standby that is far behind, whatever the thresholds of those who look.

Names without a schema are looked up along ``search_path``, in which pg_catalog may be given a place other than the first
(https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-CATALOG). A schema before it holds a
``pg_stat_replication`` that is the real one, but for its lag, and the primary's WAL position as far ahead. What is NULL
on a primary stays NULL. Only the one session in a database to spend sees them; a name with its schema is not reached,
which shows: who asks leaves a mark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

SCHEMA = "pgmigrate_lag"
SHOWN = "1 day"
"""How far behind the standby is shown to be, in time."""

SHOWN_BYTES = 1 << 40
"""The same in bytes of WAL."""

_MARK = f"{SCHEMA}.asked"
_LAGS = ("write_lag", "flush_lag", "replay_lag")
_POSITIONS = ("pg_current_wal_lsn", "pg_current_wal_insert_lsn", "pg_current_wal_flush_lsn")
_NULL_HERE = {
    "pg_last_xact_replay_timestamp": "timestamptz",
    "pg_last_wal_replay_lsn": "pg_lsn",
    "pg_last_wal_receive_lsn": "pg_lsn",
}
_COLUMNS = """
SELECT a.attname::text FROM pg_catalog.pg_attribute a
WHERE a.attrelid = 'pg_catalog.pg_stat_replication'::regclass AND a.attnum > 0 ORDER BY a.attnum
"""


def show_lag(control: psycopg.Connection[Any], session: psycopg.Connection[Any]) -> None:
    """Make the schema through ``control`` and have ``session`` look there first."""
    columns = [name for (name,) in control.execute(_COLUMNS).fetchall()]
    for statement in _statements(columns):
        control.execute(statement.encode())
    path = str(session.execute("SHOW search_path").fetchall()[0][0])
    parts = [part for part in (path, SCHEMA, "pg_catalog") if part]
    session.execute(sql.SQL("SELECT set_config('search_path', {}, false)").format(sql.Literal(", ".join(parts))))


def was_asked(control: psycopg.Connection[Any]) -> bool:
    """Whether somebody looked at what was shown; a sequence remembers it though its transaction was rolled back."""
    return bool(control.execute(f"SELECT is_called FROM {_MARK}".encode()).fetchall()[0][0])


def _statements(columns: Iterable[str]) -> Iterable[str]:
    yield f"CREATE SCHEMA {SCHEMA}"
    yield f"GRANT USAGE ON SCHEMA {SCHEMA} TO PUBLIC"
    yield f"CREATE SEQUENCE {_MARK}"
    yield f"GRANT USAGE ON SEQUENCE {_MARK} TO PUBLIC"
    mark = f"pg_catalog.nextval('{_MARK}') > 0"
    yield f"CREATE FUNCTION {SCHEMA}.mark() RETURNS boolean LANGUAGE sql VOLATILE AS $$ SELECT {mark} $$"
    # Not a constant, or the planner would do without the view where a comparison can be worked out beforehand.
    yield (
        f"CREATE FUNCTION {SCHEMA}.lag() RETURNS interval LANGUAGE sql VOLATILE"
        f" AS $$ SELECT interval '{SHOWN}' WHERE {mark} $$"
    )
    shown = ", ".join(f"{SCHEMA}.lag() AS {c}" if c in _LAGS else c for c in columns)
    yield (
        f"CREATE VIEW {SCHEMA}.pg_stat_replication AS"
        f" SELECT {shown} FROM pg_catalog.pg_stat_replication WHERE {SCHEMA}.mark()"
    )
    yield f"GRANT SELECT ON {SCHEMA}.pg_stat_replication TO PUBLIC"
    for name in _POSITIONS:
        yield (
            f"CREATE FUNCTION {SCHEMA}.{name}() RETURNS pg_lsn LANGUAGE sql VOLATILE"
            f" AS $$ SELECT pg_catalog.{name}() + {SHOWN_BYTES}::numeric $$"
        )
    for name, kind in _NULL_HERE.items():
        yield (
            f"CREATE FUNCTION {SCHEMA}.{name}() RETURNS {kind} LANGUAGE sql VOLATILE"
            f" AS $$ SELECT pg_catalog.{name}() FROM {SCHEMA}.mark() $$"
        )
