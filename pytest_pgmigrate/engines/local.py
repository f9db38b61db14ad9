"""The ``local`` engine: PostgreSQL as installed on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_pgmigrate.engines.binaries import Binaries, installed_binaries, pick
from pytest_pgmigrate.engines.server_pair import start_pair, sweep_runs
from pytest_pgmigrate.errors import EngineError
from pytest_pgmigrate.model.cluster import Availability

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_pgmigrate.model.cluster import Cluster, Want


class LocalEngine:
    """Installed server binaries; a server that is already running is never touched."""

    name = "local"

    def probe(self, want: Want) -> Availability:
        """Whether server binaries of the wanted major version are installed."""
        try:
            found = self._find(want)
        except EngineError as error:
            return Availability(False, str(error))
        return Availability(True, found.text, found.version[0])

    def start(self, want: Want, progress: Callable[[str], None]) -> Cluster:
        """Start a pair. Raises EngineError."""
        return start_pair(self.name, self._find(want), want, progress)

    def sweep(self) -> int:
        """Remove what killed runs of ours left on this machine (of the embedded engine too)."""
        return sweep_runs()

    def _find(self, want: Want) -> Binaries:
        try:
            return pick(installed_binaries(), want.major)
        except EngineError as error:
            hint = (
                "install a PostgreSQL server, or set PGMIGRATE_BINDIR to the directory that holds postgres and initdb"
            )
            raise EngineError(f"{error} on this machine; {hint}") from error


ENGINE = LocalEngine()
