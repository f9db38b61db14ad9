"""A database with one schema for every statement kind, on PostgreSQL 18 (embedded) and on the local one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_pgmigrate.discovery.script import parse_script
from pytest_pgmigrate.execution.database import Database, Watch
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.evidence import Step
from pytest_pgmigrate.model.migration import Direction, Migration, TransactionRule
from pytest_pgmigrate.options import Settings

SCHEMA = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")

Run = Callable[..., Step]


@pytest.fixture(params=["embedded_cluster", "local_cluster"], ids=["embedded", "local"], scope="module")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def template(cluster: Cluster) -> Iterator[str]:
    name = cluster.create_database("schema")
    with cluster.connect(name) as connection:
        connection.execute(SCHEMA)
    yield name
    cluster.drop_database(name)


@contextmanager
def opened(cluster: Cluster, template: str) -> Iterator[Database]:
    # Without trying the application's statements, which has tests of its own.
    name = cluster.create_database("kind", template=template)
    database = Database(cluster, name, Settings(), fresh=True, watch=Watch(blocking=False))
    try:
        yield database
    finally:
        database.release()
        cluster.drop_database(database.name)


def migration(text: str, rule: TransactionRule = TransactionRule.IMPLICIT) -> Migration:
    """A migration whose up is ``text``."""
    return Migration("1", "step", parse_script(text, "1_step.up.sql", "/1_step.up.sql", "0", rule), None, 0)


@pytest.fixture
def watch(cluster: Cluster, template: str) -> Iterator[Run]:
    """Run a script on a fresh copy of the schema, watched."""
    with opened(cluster, template) as database:

        def run(text: str, rule: TransactionRule = TransactionRule.IMPLICIT) -> Step:
            return database.run("up", migration(text, rule), Direction.UP, watched=True)

        yield run
