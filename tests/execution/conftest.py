"""A database on a real server, and scripts made from SQL text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_pgmigrate.discovery.folders import load_history
from pytest_pgmigrate.execution.database import Database
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.migration import History
from pytest_pgmigrate.options import Settings

MakeHistory = Callable[..., History]


@pytest.fixture
def cluster(embedded_cluster: Cluster) -> Cluster:
    return embedded_cluster


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    made = Database(cluster, cluster.create_database("test"), Settings(lock_timeout=5, statement_timeout=7), fresh=True)
    yield made
    made.release()
    cluster.drop_database(made.name)


@pytest.fixture
def make_history(tmp_path: Path) -> MakeHistory:
    """Write ``(up, down)`` pairs as 000001_step.up.sql … and read them; a down of None has no file."""

    def make(*pairs: tuple[str, str | None]) -> History:
        folder = tmp_path / "migrations"
        folder.mkdir()
        for number, (up, down) in enumerate(pairs, 1):
            (folder / f"{number:06d}_step.up.sql").write_text(up, encoding="utf-8")
            if down is not None:
                (folder / f"{number:06d}_step.down.sql").write_text(down, encoding="utf-8")
        return load_history(folder, tmp_path)

    return make
