"""A kept cluster outlives its process and is gone after the next run's sweep."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from pytest_pgmigrate.engines.docker import ENGINE as DOCKER
from pytest_pgmigrate.engines.embedded import ENGINE as EMBEDDED
from pytest_pgmigrate.model.cluster import Engine, Want
from tests.fix_cluster import docker_image, usable

KEEPER = """
import sys
from pytest_pgmigrate.model.cluster import Want
from pytest_pgmigrate.engines.{name} import ENGINE
cluster = ENGINE.start(Want(image=sys.argv[1] or None), lambda text: None)
cluster.create_database("kept")
node = cluster.primary
cluster.keep()
print(node.host, node.port, node.password)
"""


@pytest.mark.alone  # the next run of whichever test would sweep them
@pytest.mark.parametrize(
    "engine", [pytest.param(EMBEDDED, id="embedded"), pytest.param(DOCKER, id="docker", marks=pytest.mark.docker)]
)
def test_kept_servers_answer_until_the_next_sweep(engine: Engine) -> None:
    image = docker_image() if engine is DOCKER else ""
    usable(engine, Want(image=image or None))
    command = [sys.executable, "-c", KEEPER.format(name=engine.name), image]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    host, port, password = done.stdout.split()
    dsn = f"host={host} port={port} user=postgres password={password} dbname=postgres connect_timeout=5"

    with psycopg.connect(dsn) as connection:
        kept = connection.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'pgmigrate_%_kept'").fetchall()
    assert kept == [(1,)]

    assert engine.sweep() >= 1
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn)
