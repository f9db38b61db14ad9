"""Proves PostgreSQL migrations safe before they are merged; see ``pytest --pgmigrate``.

The public names are imported when first used, so that installing the plugin costs a plain pytest run nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_pgmigrate.errors import MigrationFailed
    from pytest_pgmigrate.fixture import PgMigrate, Snapshot
    from pytest_pgmigrate.model.evidence import MigrationEvidence
    from pytest_pgmigrate.model.finding import Finding, Part, Severity
    from pytest_pgmigrate.model.migration import History, Migration, Place
    from pytest_pgmigrate.model.seeding import Factory, SeedContext, seeds
    from pytest_pgmigrate.options import Settings
    from pytest_pgmigrate.registry import Check, Observation, check

_HOME = {
    "Check": "registry",
    "Factory": "model.seeding",
    "Finding": "model.finding",
    "History": "model.migration",
    "Migration": "model.migration",
    "MigrationEvidence": "model.evidence",
    "MigrationFailed": "errors",
    "Observation": "registry",
    "Part": "model.finding",
    "PgMigrate": "fixture",
    "Place": "model.migration",
    "SeedContext": "model.seeding",
    "Settings": "options",
    "Severity": "model.finding",
    "Snapshot": "fixture",
    "check": "registry",
    "seeds": "model.seeding",
}

__all__ = [
    "Check",
    "Factory",
    "Finding",
    "History",
    "Migration",
    "MigrationEvidence",
    "MigrationFailed",
    "Observation",
    "Part",
    "PgMigrate",
    "Place",
    "SeedContext",
    "Settings",
    "Severity",
    "Snapshot",
    "check",
    "seeds",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
