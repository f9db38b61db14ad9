"""Folders found in the usual places, and folders named by the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pgmigrate.discovery import discover, is_history
from pytest_pgmigrate.discovery.folders import find_folders, judge_only, load_history
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.registry import load_formats


def make(root: Path, *folders: str) -> None:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        (root / folder / "1_a.up.sql").write_text("SELECT 1;")
        (root / folder / "1_a.down.sql").write_text("SELECT 1;")


USUAL = [
    "migrations",
    "db/migrations",
    "sql/migrations",
    "database/migrations",
    "service/migrations",
    "backend/db/migrations",
    "backend/resources/migrations/postgres",
    "Migrations",
]


@pytest.mark.parametrize("folder", USUAL)
def test_usual_places(tmp_path: Path, folder: str) -> None:
    make(tmp_path, folder)
    assert find_folders(tmp_path) == [tmp_path / folder]


@pytest.mark.parametrize(
    "folder",
    [
        "node_modules/x/migrations",
        ".git/migrations",
        "tests/migrations",
        "backend/migrations/sqlite",
        "a/b/c/d/migrations",
        "sql",
        "migrations/a/b",
    ],
)
def test_passed_over(tmp_path: Path, folder: str) -> None:
    make(tmp_path, folder)
    assert find_folders(tmp_path) == []


def test_virtual_environments_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "myenv/migrations")
    (tmp_path / "myenv" / "pyvenv.cfg").write_text("")
    assert find_folders(tmp_path) == []


def test_links_do_not_lead_astray(tmp_path: Path) -> None:
    make(tmp_path, "db/migrations")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "db" / "loop").symlink_to(tmp_path / "db")
    assert find_folders(tmp_path) == [tmp_path / "db/migrations"]


def test_only_folders_that_a_format_knows(tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_initial.py").write_text("")
    assert find_folders(tmp_path) == []
    assert find_folders(tmp_path / "nowhere") == []


def test_load_history_takes_a_relative_folder(tmp_path: Path) -> None:
    make(tmp_path, "db/migrations")
    history = load_history(Path("db/migrations/"), tmp_path)
    assert (history.folder, history.path) == ("db/migrations", str(tmp_path / "db/migrations"))


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    make(tmp_path, "db/migrations")
    with pytest.raises(UsageError, match="db/migration does not exist"):
        load_history(Path("db/migration"), tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        load_history(Path("db/migrations/1_a.up.sql"), tmp_path)
    with pytest.raises(UsageError, match=r"holds migrations; looked for: .*golang-migrate.*Did you mean db/migrations"):
        load_history(Path("db"), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="it is empty"):
        load_history(Path("empty"), tmp_path)


def test_discover_named_folders_once(tmp_path: Path) -> None:
    make(tmp_path, "db/migrations", "other")
    formats = load_formats()
    found = discover(tmp_path, [Path("other"), tmp_path / "other" / "."], formats)
    assert [h.folder for h in found] == ["other"]
    assert [h.folder for h in discover(tmp_path, [], formats)] == ["db/migrations"]
    assert is_history(tmp_path / "other", formats)
    assert not is_history(tmp_path, formats)


def test_judge_only_by_up_down_and_deleted_down(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.mkdir()
    for number in range(1, 5):
        for direction in ("up", "down"):
            (path / f"{number}_x.{direction}.sql").write_text("SELECT 1;")
    (path / "3_x.down.sql").unlink()
    changed = {path / "1_x.up.sql", path / "2_x.down.sql", path / "3_x.down.sql", tmp_path / "4_x.up.sql"}
    history = judge_only(load_history(path, tmp_path), changed)
    assert [m.judged for m in history.migrations] == [True, True, True, False]
    assert {Path(f.file).name for f in history.files if f.judged} == {"1_x.up.sql", "2_x.down.sql"}
