"""Reads a ledger table through a connection that can only read."""

from __future__ import annotations

import re

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pytest_pgmigrate.discovery.record import COLUMNS, Table
from pytest_pgmigrate.errors import UsageError

DEFAULT_TABLE = ("public", "schema_migrations")
_CONNECT_TIMEOUT = 10
_IDENTIFIER = r'(?:[A-Za-z_\u0080-\U0010ffff][\w$]*|"(?:[^"]|"")+")'
_TABLE = re.compile(rf"(?:(?P<schema>{_IDENTIFIER})\.)?(?P<table>{_IDENTIFIER})")


def read_table(value: str) -> Table:
    """The rows of the table that ``DSN#schema.table`` names, every value as text.

    The session is one READ ONLY transaction and sets nothing that outlives it, so a connection pooler hands nothing on.
    Raises UsageError when the connection or the table cannot be used; the message never holds the password.
    """
    dsn, schema, table = split_table(value)
    try:
        parameters = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # libpq quotes the part it does not understand, which may be the password.
        raise UsageError("pgmigrate_ledger is not a valid connection string (libpq URI or key=value pairs)") from None
    password = str(parameters.get("password") or "")
    host = parameters.get("host") or parameters.get("hostaddr") or "local socket"
    shown = f"{schema}.{table} on {host}"
    parameters.setdefault("connect_timeout", _CONNECT_TIMEOUT)
    parameters.setdefault("application_name", "pytest-pgmigrate ledger")
    try:
        with psycopg.connect(**parameters, prepare_threshold=None) as connection:  # type: ignore[arg-type]
            connection.read_only = True
            columns, rows = _select(connection, schema, table)
            connection.rollback()
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        if password:
            reason = reason.replace(password, "***")
        raise UsageError(f"pgmigrate_ledger: cannot read {shown}: {reason}") from None
    return Table(shown, columns, rows)


def split_table(value: str) -> tuple[str, str, str]:
    """``DSN#schema.table`` → DSN, schema, table; without ``#`` the default table.

    In a ``key=value`` string the schema is needed, so that a ``#`` in a password stays one.
    Raises UsageError when what follows ``#`` in a URI is no table name.
    """
    dsn, mark, fragment = value.rpartition("#")
    if not mark or "@" in fragment:
        return value, *DEFAULT_TABLE
    match = _TABLE.fullmatch(fragment.strip())
    uri = "://" in dsn
    if match is None or not (uri or match["schema"]):
        if uri:
            raise UsageError("pgmigrate_ledger: what follows # is not a table name such as public.schema_migrations")
        return value, *DEFAULT_TABLE
    return dsn.rstrip(), _plain(match["schema"] or DEFAULT_TABLE[0]), _plain(match["table"])


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _select(
    connection: psycopg.Connection[tuple[object, ...]], schema: str, table: str
) -> tuple[tuple[str, ...], list[dict[str, str | None]]]:
    connection.execute("SET LOCAL statement_timeout = '30s'")
    connection.execute("SET LOCAL lock_timeout = '5s'")
    source = sql.Identifier(schema, table)
    described = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(source)).description or []
    columns = tuple(column.name for column in described)
    if "version" not in columns:
        raise UsageError(
            f"pgmigrate_ledger: {schema}.{table} has no column version (it has {', '.join(columns) or 'none'})"
        )
    wanted = tuple(column for column in columns if column in (*COLUMNS, "dirty"))
    fields = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column)) for column in wanted)
    rows = connection.execute(sql.SQL("SELECT {} FROM {}").format(fields, source)).fetchall()
    return wanted, [dict(zip(wanted, (None if v is None else str(v) for v in row), strict=True)) for row in rows]
