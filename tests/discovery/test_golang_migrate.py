"""Folders of ``{version}_{description}.{up|down}.sql``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_pgmigrate.discovery.golang_migrate import FORMAT
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.migration import History
from pytest_pgmigrate.registry import load_formats


def folder(tmp_path: Path, *names: str) -> Path:
    path = tmp_path / "db" / "migrations"
    path.mkdir(parents=True)
    for name in names:
        (path / name).write_text(f"-- {name!r}\nSELECT 1;")
    return path


def load(tmp_path: Path, *names: str) -> History:
    return FORMAT.load(folder(tmp_path, *names), tmp_path)


def pairs(history: History) -> list[tuple[str, str | None]]:
    return [(Path(m.up.file).name, Path(m.down.file).name if m.down else None) for m in history.migrations]


def test_registers_by_being_there() -> None:
    assert load_formats()["golang-migrate"] is FORMAT


def test_a_plain_history(tmp_path: Path) -> None:
    history = load(tmp_path, "000002_b.up.sql", "000002_b.down.sql", "000001_a_b.up.sql", "000001_a_b.down.sql")
    assert (history.folder, history.format) == ("db/migrations", "golang-migrate")
    assert [(m.version, m.name, m.key, m.index) for m in history.migrations] == [
        ("000001", "a_b", "000001_a_b", 0),
        ("000002", "b", "000002_b", 1),
    ]
    assert history.migrations[0].up.file == "db/migrations/000001_a_b.up.sql"
    assert os.path.isabs(history.migrations[0].up.path)
    assert {f.role for f in history.files} == {"up", "down"}
    assert history.orphans == ()


@pytest.mark.parametrize(
    "names",
    [
        ("2_b", "10_a"),
        ("0002_x", "00010_x"),
        ("v2_b", "v10_a"),
        ("v1.9_x", "v1.10_x"),
        ("V001_x", "v002_x"),
        ("1_a", "1_b"),
        ("20240102_x", "20240103000000_x"),
    ],
)
def test_numeric_order_then_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    history = load(tmp_path, *(f"{name}.up.sql" for name in reversed(names)))
    assert tuple(m.key for m in history.migrations) == names


def test_duplicate_versions_keep_their_own_downs(tmp_path: Path) -> None:
    names = ["1_a.up.sql", "1_a.down.sql", "1_b.up.sql", "1_b.down.sql"]
    assert pairs(load(tmp_path, *names)) == [("1_a.up.sql", "1_a.down.sql"), ("1_b.up.sql", "1_b.down.sql")]


def test_pairing_by_version_when_the_descriptions_differ(tmp_path: Path) -> None:
    assert pairs(load(tmp_path, "1_add.up.sql", "1_drop.down.sql")) == [("1_add.up.sql", "1_drop.down.sql")]


def test_pairing_by_number_when_the_padding_differs(tmp_path: Path) -> None:
    names = ["01_a.up.sql", "1_a.down.sql", "01_b.up.sql"]
    assert pairs(load(tmp_path, *names)) == [("01_a.up.sql", "1_a.down.sql"), ("01_b.up.sql", None)]


def test_ambiguous_downs_are_orphans(tmp_path: Path) -> None:
    history = load(tmp_path, "1_a.up.sql", "1_b.up.sql", "1_c.down.sql", "9_z.down.sql")
    assert pairs(history) == [("1_a.up.sql", None), ("1_b.up.sql", None)]
    assert [Path(o.file).name for o in history.orphans] == ["1_c.down.sql", "9_z.down.sql"]
    assert [f.role for f in history.files] == ["up", "up", "orphan-down", "orphan-down"]


def test_other_files(tmp_path: Path) -> None:
    names = ["1_a.up.sql", "README.md", "schema.sql", "001.sql", "1_a.sql", "x_a.up.sql", ".2_b.up.sql", "3_c.up.sql~"]
    history = load(tmp_path, *names, "4_d.UP.SQL", "1-a.up.sql", "2_b.up.sql\n")
    assert [m.key for m in history.migrations] == ["1_a"]
    unknown = {Path(f.file).name for f in history.files if f.role == "unknown"}
    assert unknown == {"schema.sql", "001.sql", "1_a.sql", "x_a.up.sql", "4_d.UP.SQL", "1-a.up.sql"}


def test_hostile_names(tmp_path: Path) -> None:
    names = ['1_it\'s "a" b;.up.sql', "2_größe 😀.up.sql", "3_.up.sql", "4_a.down.up.sql", "5_a\nb.up.sql"]
    path = folder(tmp_path, *names)
    (path / os.fsdecode(b"6_\xff.up.sql")).write_text("SELECT 1;")
    history = FORMAT.load(path, tmp_path)
    assert [m.key for m in history.migrations] == ['1_it\'s "a" b;', "2_größe 😀", "3", "4_a.down", "6_\\xff"]
    assert all(m.up.sendable for m in history.migrations)
    for entry in history.files:
        entry.file.encode("utf-8")
        assert "\n" not in entry.file
    assert [f.file for f in history.files if f.role == "unknown"] == ["db/migrations/5_a\\nb.up.sql"]


def test_entries_that_are_no_files_carry_a_defect(tmp_path: Path) -> None:
    path = folder(tmp_path, "1_a.up.sql")
    (path / "2_dir.up.sql").mkdir()
    (path / "3_loop.up.sql").symlink_to("3_loop.up.sql")
    history = FORMAT.load(path, tmp_path)
    assert [[d.kind for d in m.up.defects] for m in history.migrations] == [[], ["unreadable"], ["unreadable"]]


def test_keys_are_unique(tmp_path: Path) -> None:
    history = load(tmp_path, "1_a.up.sql", "01_a.up.sql", "v1_a.up.sql", "V1_a.up.sql", "1_.up.sql")
    assert len({m.key for m in history.migrations}) == 5


def test_a_folder_outside_root(tmp_path: Path) -> None:
    path = folder(tmp_path, "1_a.up.sql")
    root = tmp_path / "elsewhere"
    root.mkdir()
    assert FORMAT.load(path, root).migrations[0].up.file == "../db/migrations/1_a.up.sql"


def test_detect(tmp_path: Path) -> None:
    path = folder(tmp_path, "1_a.sql", "notes.txt")
    assert not FORMAT.detect(path)
    (path / "2_b.down.sql").write_text("")
    assert FORMAT.detect(path)
    assert not FORMAT.detect(tmp_path / "nowhere")


def test_a_folder_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be listed"):
        FORMAT.load(tmp_path / "nowhere", tmp_path)
