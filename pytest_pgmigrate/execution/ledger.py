"""Our ledger: version, filename, checksum, applied_at, execution_time_ms, success of every script we ran.

It lives in a schema of its own, so that a ``schema_migrations`` table of the user stays an ordinary table, and is
written from the control connection, so that nothing a migration does to its session reaches it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from psycopg import errors

from pytest_pgmigrate.errors import ExecutionError

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.model.evidence import Step
    from pytest_pgmigrate.model.migration import Migration

SCHEMA = "pgmigrate"

_CREATE = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.schema_migrations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version text NOT NULL,
    filename text NOT NULL,
    direction text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL,
    execution_time_ms double precision NOT NULL,
    success boolean NOT NULL
)
"""

_DROP = f"DROP TABLE IF EXISTS {SCHEMA}.schema_migrations CASCADE"

_INSERT = f"""
INSERT INTO {SCHEMA}.schema_migrations
    (version, filename, direction, checksum, applied_at, execution_time_ms, success)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::float8[], %s::boolean[])
"""

# What an INSERT says of a table that is gone, or is not as we made it: classes 42 and 23 of
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_SPOILT = (errors.ProgrammingError, errors.IntegrityError)

# One key for all runs: two runners of ours in one database is a fault wherever they come from.
# The server gives it back when the connection ends: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
# Asked again and again, because a statement that waits holds a snapshot, for which CREATE INDEX CONCURRENTLY waits in turn.
LOCK = "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('pytest-pgmigrate runner', 0))"
PAUSE = 0.02
"""Seconds between two times of asking for the lock."""


class Ledger:
    """The ledger of one database, and the advisory lock that keeps a second runner out of it."""

    def __init__(self, control: psycopg.Connection[Any]) -> None:
        self._control = control
        self._noted: list[tuple[object, ...]] = []

    def open(self, database: str, *, create: bool, patience: float) -> None:
        """Take the runner's lock, within ``patience`` seconds, and make the table.

        Raises ExecutionError when another runner has not given the lock back by then.
        """
        deadline = time.monotonic() + patience
        while not self._control.execute(LOCK).fetchall()[0][0]:
            if time.monotonic() > deadline:
                raise ExecutionError(
                    f"another runner holds the advisory lock in database {database}: two runners would spoil each other's "
                    "evidence. Wait for it to end, or give each run its own server."
                )
            time.sleep(PAUSE)
        if create:
            self._control.execute(_CREATE)

    def note(self, migration: Migration, step: Step) -> None:
        """Remember one script that ran, for the next ``write``."""
        script = migration.up if step.direction.value == "up" or migration.down is None else migration.down
        self._noted.append(
            (
                migration.version,
                script.file.rsplit("/", 1)[-1],
                step.direction.value,
                script.checksum,
                step.started_at,
                round(step.seconds * 1000, 3),
                step.error is None,
            ),
        )

    @property
    def noted(self) -> int:
        """How many are remembered and not yet written."""
        return len(self._noted)

    def write(self) -> None:
        """Write down everything noted, in the order it ran.

        A migration may drop or change whatever it finds, our table too: then it is made anew, without the earlier rows.
        """
        if not self._noted:
            return
        columns = [list(column) for column in zip(*self._noted, strict=True)]
        self._noted = []
        try:
            self._control.execute(_INSERT, columns)
        except _SPOILT:
            self._control.execute(_DROP)
            self._control.execute(_CREATE)
            self._control.execute(_INSERT, columns)
