"""What grows with the rows and what does not, by counters at two data sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.session import Extras, Run

FIRST = "CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, n integer NOT NULL);\n"


def examine(cluster: Cluster, tmp_path: Path, up: str, *, scale: bool) -> MigrationEvidence:
    folder = tmp_path / "migrations"
    folder.mkdir()
    for number, text in enumerate((FIRST, up), 1):
        (folder / f"{number:06d}_step.up.sql").write_text(text)
    run = Run(Settings(rows=20, scale=scale), tmp_path, Extras())
    run._cluster = cluster
    run.discover([folder])
    [history] = run.histories
    for migration in history.history.migrations:
        run.select(history, migration)
    try:
        for migration in history.history.migrations:
            for part in run.parts:
                run.result(history, migration, part, lambda text: None)
        return history.evidence[history.history.migrations[-1].key]
    finally:
        run._finish(history)


@pytest.mark.parametrize(
    ("up", "grows", "read"),
    [
        ("ALTER TABLE users ALTER n TYPE bigint;", True, True),
        ("CREATE INDEX users_n ON users (n);", True, True),
        ("UPDATE users SET n = 0;", True, True),
        ("SELECT 1 FROM users LIMIT 1;", False, True),
        ("ALTER TABLE users ADD COLUMN x integer DEFAULT 5;", False, False),
    ],
)
def test_classes(any_cluster: Cluster, tmp_path: Path, up: str, grows: bool, read: bool) -> None:
    evidence = examine(any_cluster, tmp_path, up + "\n", scale=True)

    found = {item.relation: item for item in evidence.scaled}
    assert ("public.users" in found) == read
    if read:
        item = found["public.users"]
        assert (item.rows, item.grows) == ((20, 100), grows)


def test_off_by_default(any_cluster: Cluster, tmp_path: Path) -> None:
    evidence = examine(any_cluster, tmp_path, "CREATE INDEX users_n ON users (n);\n", scale=False)

    assert evidence.scaled == ()
    assert evidence.up is not None
    assert [count.read for count in evidence.up.watched[0].counts] == [20]
