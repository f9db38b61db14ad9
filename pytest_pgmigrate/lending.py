"""From pytest's config to what a test gets as ``pgmigrate``; imported when the first test asks for the fixture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_pgmigrate import registry
from pytest_pgmigrate.collection import extras_of, folders_of, settings_of
from pytest_pgmigrate.errors import PgmigrateError, UsageError
from pytest_pgmigrate.fixture import House, PgMigrate, Servers
from pytest_pgmigrate.nodes import RUN
from pytest_pgmigrate.seeding import FakeSeeder
from pytest_pgmigrate.session import Run

if TYPE_CHECKING:
    from pytest_pgmigrate.model.cluster import Seeder
    from pytest_pgmigrate.model.migration import History

HOUSE = pytest.StashKey[House]()


@contextmanager
def lend(config: pytest.Config, mark: pytest.Mark | None) -> Iterator[PgMigrate]:
    """What a test gets as ``pgmigrate``. Fails the test, without a traceback, when there is no history or no server."""
    with ExitStack() as stack:
        try:
            lent = stack.enter_context(_house(config).lend(_chosen(mark)))
        except (PgmigrateError, pytest.UsageError) as error:
            # pytest.UsageError here would end the run; the tests that need no server can go on.
            pytest.fail(f"pgmigrate: {error}", pytrace=False)
        yield lent


def _chosen(mark: pytest.Mark | None) -> str | None:
    """The folder that a test names in its marker. Raises UsageError."""
    if mark is None:
        return None
    given = [*mark.args, *mark.kwargs.values()]
    if len(given) != 1 or not isinstance(given[0], (str, os.PathLike)) or set(mark.kwargs) - {"folder"}:
        raise UsageError('the marker takes one folder: @pytest.mark.pgmigrate_history("db/migrations")')
    return os.fspath(given[0])


def _house(config: pytest.Config) -> House:
    """What all tests of this run share, made for the first one; it uses the servers of ``--pgmigrate`` if those run."""
    if HOUSE in config.stash:
        return config.stash[HOUSE]
    settings = settings_of(config)
    run = config.stash.get(RUN, None)
    if run is None:
        # Nobody would print how to connect: keeping servers is for --pgmigrate.
        run = Run(replace(settings, keep=False), config.rootpath, extras_of(config, settings))
        config.add_cleanup(run.close)
    given = run.extras.seeder

    def seeder(history: History, rows: int) -> Seeder:
        return given or FakeSeeder(seed=settings.seed, rows=rows, wanted=run.wanted_of(history))

    servers = Servers(lambda: run.start(lambda _: None), lambda: run.cluster)
    formats = registry.load_formats(run.extras.formats)
    house = House(servers, settings, config.rootpath, folders_of(config, settings), formats, seeder)
    config.stash[HOUSE] = house
    return house
