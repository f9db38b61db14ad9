"""An engine that starts a pair from binaries of this machine: what ``local`` and ``embedded`` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pytest_pgmigrate.engines.binaries import pick
from pytest_pgmigrate.engines.server_pair import start_pair, sweep_runs
from pytest_pgmigrate.errors import EngineError
from pytest_pgmigrate.model.cluster import Availability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_pgmigrate.engines.binaries import Binaries
    from pytest_pgmigrate.model.cluster import Cluster, Want


class BinaryEngine:
    """An engine says its name, where it looks for binaries, and what to do when the wanted ones are not there."""

    name: str
    candidates: Callable[[], Iterable[Binaries]]
    """Finds binaries, best first."""
    nowhere: ClassVar[str]
    """Ends the message that starts with what was looked for."""

    def probe(self, want: Want) -> Availability:
        """Whether there are binaries of the wanted major version."""
        try:
            found = self._find(want)
        except EngineError as error:
            return Availability(False, str(error))
        return Availability(True, found.text, found.version[0])

    def start(self, want: Want, progress: Callable[[str], None]) -> Cluster:
        """Start a pair. Raises EngineError."""
        return start_pair(self.name, self._find(want), want, progress)

    def sweep(self) -> int:
        """Remove what killed runs of ours left on this machine, of whichever of these engines."""
        return sweep_runs()

    def _find(self, want: Want) -> Binaries:
        try:
            return pick(self.candidates(), want.major)
        except EngineError as error:
            raise EngineError(f"{error} {self.nowhere}") from error
