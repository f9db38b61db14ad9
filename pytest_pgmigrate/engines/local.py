"""The ``local`` engine: PostgreSQL as installed on this machine."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.engines._binary_engine import BinaryEngine
from pytest_pgmigrate.engines.binaries import Binaries, installed_binaries

_HINT = "install a PostgreSQL server, or set PGMIGRATE_BINDIR to the directory that holds postgres and initdb"


class LocalEngine(BinaryEngine):
    """Installed server binaries; a server that is already running is never touched."""

    name = "local"
    nowhere = f"on this machine; {_HINT}"

    def candidates(self) -> Iterator[Binaries]:
        """Those of PATH and of the usual places."""
        return installed_binaries()


ENGINE = LocalEngine()
