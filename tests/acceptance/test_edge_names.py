"""File and folder names that nobody would choose and somebody has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.acceptance.conftest import USERS_DOWN, USERS_UP, Project, assert_clean, codes
from tests.acceptance.histories import Outcome

NAMES = {
    "space": "000002_add a nick",
    "quotes": "000002_o'hara\"s",
    "unicode": "000002_naïve_ünïcode_日本",
    "percent": "000002_100%s_%(x)d",
    "brackets": "000002_a[b]{c}",
    "dots": "000002_a.b.c",
    "dollar": "000002_$HOME;`id`",
    "long": "000002_" + "x" * 200,
    "markup": "000002_<a>&amp;",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Outcome]]:
    """All names in one run, a history each. The down forgets an index: the name passes through a finding, a report and JUnit."""
    project = Project(tmp_path_factory.mktemp("names"))
    for kind, name in NAMES.items():
        project.users(kind).then(
            name,
            "-- pgmigrate: no-transaction an index beside writes\nDROP INDEX CONCURRENTLY IF EXISTS users_email;\n"
            "CREATE INDEX CONCURRENTLY users_email ON users (email);\n",
            "SELECT 1;\n",
            kind,
        )
    paths = [f"--pgmigrate-path={kind}" for kind in NAMES]
    yield project, project.judge("-q", "--junitxml=junit.xml", "-k", "rollback", *paths)
    assert project.left() == []


@pytest.mark.parametrize("kind", NAMES)
def test_a_hostile_file_name_is_a_name_like_any_other(hostile: tuple[Project, Outcome], kind: str) -> None:
    project, outcome = hostile
    assert outcome.findings(kind) == {(f"{NAMES[kind]}.up.sql", 3, "PMG402")}
    assert f"{kind}/{NAMES[kind]}.up.sql" in outcome.text
    failed = [
        (case.get("classname"), case.get("name"))
        for case in ElementTree.parse(project.path / "junit.xml").iter("testcase")
        if case.find("failure") is not None
    ]
    assert failed.count((f"{kind}.{NAMES[kind]}.up.sql", "rollback")) == 1, failed


def test_hostile_file_names_break_nothing_else(hostile: tuple[Project, Outcome]) -> None:
    _, outcome = hostile
    assert_clean(outcome)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED, outcome.text
    assert codes(outcome) == {(f"{name}.up.sql", "PMG402") for name in NAMES.values()}


@pytest.mark.parametrize("folder", ["my migrations/100% o'hara [x]", "データ/migrations"])
def test_a_hostile_folder_name(project: Project, folder: str) -> None:
    project.users(folder)
    outcome = project.judge("-q", f"--pgmigrate-path={folder}")
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    assert Path(outcome.document["history"][0]["folder"]) == Path(folder)


def test_a_name_with_a_newline_or_that_is_no_text_ends_in_words(project: Project) -> None:
    project.users()
    folder = os.fsencode(project.path / "migrations")
    for name in (b"000002_a\nb", b"000003_\xff\xfe"):
        for ending, text in ((b".up.sql", b"SELECT 1;\n"), (b".down.sql", b"SELECT 1;\n")):
            with open(os.path.join(folder, name + ending), "wb") as file:
                file.write(text)
    outcome = project.judge("-q", "--pgmigrate-report=text:r.txt")
    assert_clean(outcome)
    # golang-migrate's pattern does not match across a line break: such a file is passed over, which is worth a warning.
    assert [entry["version"] for entry in outcome.document["history"]] == ["000001", "000003"]
    assert {code for _, code in codes(outcome)} == {"PMG109"}
    assert "000002_a\\nb.up.sql" in (project.path / "r.txt").read_text(encoding="utf-8")


def test_linked_files_and_a_linked_folder(project: Project) -> None:
    project.write({"real/a.sql": USERS_UP, "real/b.sql": USERS_DOWN})
    (project.path / "migrations").mkdir()
    (project.path / "migrations/000001_users.up.sql").symlink_to("../real/a.sql")
    (project.path / "migrations/000001_users.down.sql").symlink_to("../real/b.sql")
    (project.path / "linked").symlink_to("migrations")
    outcome = project.judge("-q", "--pgmigrate-path=linked")
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    assert [e["name"] for e in outcome.document["history"]] == ["users"]
