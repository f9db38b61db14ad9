"""Everything raised on purpose. The message says what happened, with which value, and what to do."""

from __future__ import annotations


class PgmigrateError(Exception):
    """Base of all errors of this package."""


class UsageError(PgmigrateError):
    """A setting, flag or file given by the user cannot be used (pytest exits with 4)."""


class EngineError(PgmigrateError):
    """No PostgreSQL server could be had; the message lists each engine tried and why it was not usable."""


class ReplicaTimeout(EngineError):
    """The replica did not replay a position in time."""


class SeedError(PgmigrateError):
    """Seeding failed as a whole (a single table that cannot be filled is a SeedReport, not an error)."""


class ExecutionError(PgmigrateError):
    """The examination itself could not go on (a lost connection, a second runner); never the user's SQL."""


class MigrationFailed(PgmigrateError):
    """A migration failed in a test that uses the ``pgmigrate`` fixture.

    ``migration`` is its key, ``sqlstate`` what the server said (https://www.postgresql.org/docs/current/errcodes-appendix.html),
    empty when the text never reached it.
    """

    def __init__(self, message: str, migration: str = "", sqlstate: str = "") -> None:
        super().__init__(message)
        self.migration = migration
        self.sqlstate = sqlstate


class NotFilledWarning(UserWarning):
    """A table that a test's database was to have fake rows in could not be given them."""


class NotCapturedWarning(UserWarning):
    """The queries of a user's own tests were to be kept, and some or all could not be."""


class ReplicaBehind(ExecutionError):
    """The replica stayed further behind than ``pgmigrate_max_replica_lag`` allows until the time limit ran out."""
