"""The ``local`` engine: PostgreSQL as installed on this machine; a server that is already running is never touched."""

from __future__ import annotations

from pytest_pgmigrate.engines._binary_engine import BinaryEngine
from pytest_pgmigrate.engines.binaries import installed_binaries

ENGINE = BinaryEngine(
    "local",
    installed_binaries,
    "on this machine; install a PostgreSQL server, or set PGMIGRATE_BINDIR to the directory that holds postgres and initdb",
)
