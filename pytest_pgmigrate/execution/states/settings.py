"""How a connection that reads states is set up: everything that changes how a value or a definition prints is pinned."""

from __future__ import annotations

from typing import Any

import psycopg

PINNED: dict[str, str] = {
    # Definitions come out with every name qualified (ruleutils.c leaves out only what search_path finds).
    "search_path": "",
    "quote_all_identifiers": "off",
    # The text of a value must not depend on settings of the role, the database or the server.
    "datestyle": "ISO,MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    "xmlbinary": "base64",
    # Row security must raise, never hide rows.
    "row_security": "off",
}

_SESSION: dict[str, str] = {
    "client_encoding": "UTF8",
    "default_transaction_read_only": "on",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # The same few statements run hundreds of times with other parameters; planning them anew costs more than they do.
    "plan_cache_mode": "force_generic_plan",
    # A generic plan, made before anyone analyzed the catalogs, does not know that it looks for a handful of rows. Tables
    # themselves are still read by sequential scans: without a condition no index scan is considered.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_indexonlyscan": "off",
    "statement_timeout": "0",
    "idle_session_timeout": "0",
}


def reader_options(lock_timeout: float = 10.0) -> str:
    """The ``options`` of libpq for a connection that reads states (spaces and backslashes escaped)."""
    settings = {**PINNED, **_SESSION, "lock_timeout": str(round(lock_timeout * 1000))}
    return " ".join(f"-c {name}={_escape(value)}" for name, value in settings.items())


def prepare_for_reading(connection: psycopg.Connection[Any]) -> None:
    """Settings of the driver: the server's own placeholders ($1), and room for all statements as prepared ones."""
    connection.cursor_factory = psycopg.RawCursor
    connection.prepared_max = 1000


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
