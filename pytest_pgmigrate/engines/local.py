"""The ``local`` engine: PostgreSQL as installed on this machine."""

from __future__ import annotations

from pytest_pgmigrate.engines._binary_engine import BinaryEngine
from pytest_pgmigrate.engines.binaries import installed_binaries

_HINT = "install a PostgreSQL server, or set PGMIGRATE_BINDIR to the directory that holds postgres and initdb"


class LocalEngine(BinaryEngine):
    """Installed server binaries; a server that is already running is never touched."""

    name = "local"
    candidates = staticmethod(installed_binaries)
    nowhere = f"on this machine; {_HINT}"


ENGINE = LocalEngine()
