"""Session fixtures: a real cluster of each engine, started once. Skipped, with the engine's own reason, where there is none."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pytest_pgmigrate.engines.docker import ENGINE as DOCKER
from pytest_pgmigrate.engines.embedded import ENGINE as EMBEDDED
from pytest_pgmigrate.engines.external import ENGINE as EXTERNAL
from pytest_pgmigrate.engines.local import ENGINE as LOCAL
from pytest_pgmigrate.model.cluster import Want

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_pgmigrate.model.cluster import Cluster, Engine

IMAGES = ("pgmigrate-test/postgres:18", "postgres:18", "pgmigrate-test/postgres:15", "postgres:15")


def silent(_: str) -> None:
    """A progress line nobody reads."""


def docker_image() -> str:
    """An image to test with: ``PGMIGRATE_TEST_IMAGE``, else the first one that is here. Skips when there is none."""
    reason = ""
    for image in [os.environ["PGMIGRATE_TEST_IMAGE"]] if "PGMIGRATE_TEST_IMAGE" in os.environ else IMAGES:
        answer = DOCKER.probe(Want(image=image))
        if answer.usable:
            return image
        reason = reason or answer.reason
    pytest.skip(f"docker: {reason}")


def usable(engine: Engine, want: Want) -> Want:
    """``want``, or skip with the engine's reason."""
    answer = engine.probe(want)
    if not answer.usable:
        pytest.skip(f"{engine.name}: {answer.reason}")
    return want


def own_pair() -> Engine:
    """An engine that starts servers of its own without Docker."""
    return EMBEDDED if EMBEDDED.probe(Want()).usable else LOCAL


def dsn(cluster: Cluster, *, replica: bool = False, user: str | None = None) -> str:
    """A DSN to one of a cluster's servers, over TCP as a person would write it."""
    node = cluster.replica if replica else cluster.primary
    assert node is not None
    name = user or node.user
    return f"postgresql://{name}:{node.password}@{node.host}:{node.port}/{cluster.maintenance_database}?sslmode=disable"


@pytest.fixture(scope="session")
def embedded_cluster() -> Iterator[Cluster]:
    with closing(EMBEDDED.start(usable(EMBEDDED, Want()), silent)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def local_cluster() -> Iterator[Cluster]:
    with closing(LOCAL.start(usable(LOCAL, Want()), silent)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def docker_cluster() -> Iterator[Cluster]:
    with closing(DOCKER.start(Want(image=docker_image()), silent)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def docker_one_cluster() -> Iterator[Cluster]:
    with closing(DOCKER.start(Want(image=docker_image(), containers=1), silent)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def external_cluster() -> Iterator[Cluster]:
    engine = own_pair()
    with closing(engine.start(usable(engine, Want()), silent)) as server:
        want = Want(dsn=dsn(server), replica_dsn=dsn(server, replica=True))
        with closing(EXTERNAL.start(want, silent)) as cluster:
            yield cluster


@pytest.fixture(scope="session")
def any_cluster() -> Iterator[Cluster]:
    """A pair of our own for tests that do not care which engine made it."""
    engine = own_pair()
    with closing(engine.start(usable(engine, Want()), silent)) as cluster:
        yield cluster
