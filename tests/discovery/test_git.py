"""What git knows: files changed since a ref, and the files at the merge-base."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from pytest_pgmigrate.discovery import discover
from pytest_pgmigrate.discovery.folders import load_history
from pytest_pgmigrate.discovery.git import changed_since, record_from_merge_base
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.migration import Record
from pytest_pgmigrate.registry import load_formats

FOLDER = "db/migrations"


@pytest.fixture(autouse=True)
def only_the_repository_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write(root: Path, name: str, text: str = "SELECT 1;\n") -> Path:
    path = root / FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, newline="")
    return path


def commit(root: Path, message: str = "x") -> str:
    git(root, "add", "-A")
    git(root, "commit", "-qm", message)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    for name in ("1_a.up.sql", "1_a.down.sql", "2_b.up.sql", "2_b.down.sql"):
        write(root, name, f"SELECT '{name}';\n")
    commit(root)
    return root


def names(paths: set[Path]) -> set[str]:
    return {path.name for path in paths}


def record(root: Path, ref: str | None = None) -> Record:
    return record_from_merge_base(load_history(Path(FOLDER), root), root, ref)


def test_changed_since_the_merge_base(repository: Path) -> None:
    git(repository, "checkout", "-qb", "feature")
    write(repository, "3_committed.up.sql")
    git(repository, "mv", f"{FOLDER}/2_b.down.sql", f"{FOLDER}/2_c.down.sql")
    commit(repository)
    git(repository, "checkout", "-q", "main")
    write(repository, "9_on_main_later.up.sql")
    commit(repository)
    git(repository, "checkout", "-q", "feature")
    write(repository, "1_a.up.sql", "edited")
    write(repository, "4_staged é\n.up.sql")
    git(repository, "add", "-A")
    write(repository, "5_untracked.up.sql")
    changed = changed_since(repository, "main")
    assert names(changed) == {
        "3_committed.up.sql",
        "2_b.down.sql",
        "2_c.down.sql",
        "1_a.up.sql",
        "4_staged é\n.up.sql",
        "5_untracked.up.sql",
    }
    assert all(path.is_absolute() for path in changed)


def test_changed_since_from_a_subfolder_and_inside_a_hook(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(repository, "3_c.up.sql")
    monkeypatch.setenv("GIT_DIR", "/nowhere/.git")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert names(changed_since(repository / FOLDER, "HEAD")) == {"3_c.up.sql"}


def test_ignored_files_are_not_changed(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.up.sql\n")
    commit(repository)
    write(repository, "3_c.up.sql")
    assert changed_since(repository, "main") == set()


def test_discover_judges_only_what_changed(repository: Path) -> None:
    git(repository, "checkout", "-qb", "feature")
    write(repository, "2_b.down.sql", "SELECT 2;")
    write(repository, "3_c.up.sql")
    [history] = discover(repository, [], load_formats(), since="main")
    assert [(m.key, m.judged) for m in history.migrations] == [("1_a", False), ("2_b", True), ("3_c", True)]


@pytest.mark.parametrize("ref", ["nowhere", "", "-p", "--all", "main..x", "a b", "x\0y"])
def test_a_ref_that_does_not_exist(repository: Path, ref: str) -> None:
    with pytest.raises(UsageError, match="there is no commit"):
        changed_since(repository, ref)
    with pytest.raises(UsageError, match="there is no commit"):
        record(repository, ref)


def test_no_repository(tmp_path: Path) -> None:
    write(tmp_path, "1_a.up.sql")
    with pytest.raises(UsageError, match="not in a git repository"):
        changed_since(tmp_path, "main")
    found = record(tmp_path)
    assert (found.source, "not in a git repository" in found.detail, found.rows) == ("none", True, ())


def test_git_is_not_installed(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = load_history(Path(FOLDER), repository)
    monkeypatch.setenv("PATH", "/nowhere")
    assert record_from_merge_base(history, repository) == Record("none", "git is not installed")
    with pytest.raises(UsageError, match="git is not installed"):
        changed_since(repository, "main")


def test_a_repository_of_another_user(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    found = record(repository)
    assert found.source == "none"
    assert "safe.directory" in found.detail
    with pytest.raises(UsageError, match=r"safe\.directory"):
        changed_since(repository, "main")


def test_a_shallow_clone_says_what_to_do(repository: Path, tmp_path: Path) -> None:
    git(repository, "checkout", "-qb", "feature")
    write(repository, "3_c.up.sql")
    commit(repository)
    git(repository, "checkout", "-q", "main")
    write(repository, "4_d.up.sql")
    commit(repository)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth=1", "--no-single-branch", "-b", "feature", f"file://{repository}", str(clone))
    with pytest.raises(UsageError, match="fetch-depth: 0"):
        changed_since(clone, "origin/main")
    found = record(clone)
    assert (found.source, "shallow" in found.detail) == ("none", True)


def test_branches_without_a_common_commit(repository: Path) -> None:
    git(repository, "checkout", "-q", "--orphan", "other")
    commit(repository, "unrelated")
    with pytest.raises(UsageError, match="no commit in common"):
        changed_since(repository, "main")


def test_record_at_the_merge_base(repository: Path) -> None:
    base = git(repository, "rev-parse", "HEAD")
    old = (repository / FOLDER / "2_b.up.sql").read_bytes()
    git(repository, "checkout", "-qb", "feature")
    write(repository, "2_b.up.sql", "SELECT 'edited';\n")
    write(repository, "3_c.up.sql")
    commit(repository)
    found = record(repository)
    assert (found.source, base[:12] in found.detail, "main" in found.detail) == ("git", True, True)
    assert [(r.version, r.filename) for r in found.rows] == [("1", "1_a.up.sql"), ("2", "2_b.up.sql")]
    assert found.rows[1].checksum == hashlib.sha256(old).hexdigest()
    history = load_history(Path(FOLDER), repository)
    assert found.rows[0].checksum == history.migrations[0].up.checksum
    assert found.rows[1].checksum != history.migrations[1].up.checksum


def test_a_file_deleted_since_is_still_recorded(repository: Path) -> None:
    git(repository, "checkout", "-qb", "feature")
    (repository / FOLDER / "2_b.up.sql").unlink()
    commit(repository)
    assert [r.version for r in record(repository).rows] == ["1", "2"]


def test_on_the_default_branch_nothing_counts_as_applied(repository: Path) -> None:
    write(repository, "3_c.up.sql")
    commit(repository)
    write(repository, "0_untracked.up.sql")
    (repository / "README").write_text("edited outside the folder")
    found = record(repository)
    assert (found.source, found.rows) == ("none", ())
    assert "main" in found.detail


def test_uncommitted_edits_on_the_default_branch_are_compared_with_head(repository: Path) -> None:
    write(repository, "2_b.up.sql", "SELECT 'edited';\n")
    found = record(repository)
    assert (found.source, len(found.rows)) == ("git", 2)
    assert found.rows[1].checksum == hashlib.sha256(b"SELECT '2_b.up.sql';\n").hexdigest()


def test_unpushed_commits_of_the_default_branch_have_a_base(repository: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    write(clone, "3_c.up.sql")
    commit(clone)
    found = record(clone)
    assert (found.source, [r.version for r in found.rows]) == ("git", ["1", "2"])
    assert "origin/HEAD" in found.detail


def test_line_ending_conversion_is_no_edit(repository: Path) -> None:
    git(repository, "checkout", "-qb", "feature")
    git(repository, "config", "core.autocrlf", "true")
    write(repository, "1_a.up.sql", "SELECT '1_a.up.sql';\r\n")
    write(repository, "3_c.up.sql")
    commit(repository)
    found = record(repository)
    assert found.rows[0].checksum == load_history(Path(FOLDER), repository).migrations[0].up.checksum


def test_a_repository_without_commits_or_known_branch(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "trunk")
    write(root, "1_a.up.sql")
    assert "no commit yet" in record(root).detail
    commit(root)
    found = record(root)
    assert (found.source, "no default branch" in found.detail) == ("none", True)


def test_migrations_at_the_top_of_the_repository(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "1_a.up.sql").write_text("SELECT 1;")
    (root / "sub").mkdir()
    (root / "sub" / "7_z.up.sql").write_text("SELECT 1;")
    commit(root)
    git(root, "checkout", "-qb", "feature")
    (root / "2_b.up.sql").write_text("SELECT 1;")
    commit(root)
    assert [r.version for r in record_from_merge_base(load_history(root, root), root).rows] == ["1"]


def test_a_detached_head_is_compared_with_the_default_branch(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    write(repository, "3_c.up.sql")
    commit(repository)
    assert record(repository).source == "git"
