"""Shared by all tests: pytester, what tests/fix_*.py say of themselves, and the flag for the long drills."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester", "tests.fix_cluster", "tests.fix_compiled", "tests.fix_workers"]

# Fixtures hold histories for the tests to use, not tests; benchmarks are run by hand.
collect_ignore_glob = ["tests/benchmarks/*"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", default=False, help="Run the long drills as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="a long drill; --run-slow runs it"))
