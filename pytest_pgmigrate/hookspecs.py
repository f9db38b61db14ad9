"""The hooks that a conftest.py or another plugin may implement; called under ``--pgmigrate`` and for the fixture only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_pgmigrate.model.cluster import Engine
    from pytest_pgmigrate.model.seeding import Factory
    from pytest_pgmigrate.options import Settings
    from pytest_pgmigrate.registry import Check


@pytest.hookspec
def pytest_pgmigrate_checks() -> Iterable[Check]:  # type: ignore[empty-body]
    """Further checks: functions decorated with ``pytest_pgmigrate.check``."""


@pytest.hookspec
def pytest_pgmigrate_formats() -> Iterable[Any]:  # type: ignore[empty-body]
    """Further migration formats: objects with ``name``, ``detect(folder)`` and ``load(folder, root)``."""


@pytest.hookspec
def pytest_pgmigrate_reports() -> Iterable[Any]:  # type: ignore[empty-body]
    """Further reports: objects with ``name`` and ``render(run)``."""


@pytest.hookspec
def pytest_pgmigrate_factories() -> Iterable[Factory]:  # type: ignore[empty-body]
    """The rows of single tables: generator functions decorated with ``pytest_pgmigrate.seeds``."""


@pytest.hookspec(firstresult=True)
def pytest_pgmigrate_make_engine(settings: Settings) -> Engine | None:
    """Provide the engine instead of the one that ``--pgmigrate-engine`` names; the first that returns one wins."""


@pytest.hookspec(firstresult=True)
def pytest_pgmigrate_make_seeder(settings: Settings) -> Any:
    """Provide the seeder instead of the built-in one; the first that returns one wins."""
