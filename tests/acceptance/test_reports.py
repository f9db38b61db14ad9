"""Reports, the summary, selection of checks, strict, list and explain, as the command line gives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import GIVE_WAY, Project, assert_clean, codes

FORGETS = (
    "000002_nick",
    "-- pgmigrate: no-transaction an index beside writes\nDROP INDEX CONCURRENTLY IF EXISTS users_email;\n"
    "CREATE INDEX CONCURRENTLY users_email ON users (email);\n",
    "SELECT 1;\n",
)


@pytest.fixture
def wrong(project: Project) -> Project:
    """A down that forgets an index."""
    return project.users().then(*FORGETS)


def test_json_and_text_reports_tell_the_same(wrong: Project) -> None:
    outcome = wrong.judge("-q", "--pgmigrate-report=json:out/r.json", "--pgmigrate-report=text:out/r.txt")
    document = json.loads((wrong.path / "out/r.json").read_text(encoding="utf-8"))
    assert document == outcome.document
    assert document["engine"] == "embedded"
    assert document["postgresql"].startswith("18")
    assert document["history"][1]["parts"]["rollback"] == "failed"
    (error,) = [f for f in document["findings"] if f["severity"] == "error"]
    assert (error["code"], error["part"], error["line"]) == ("PMG402", "rollback", 3)
    assert Path(error["file"]) == Path("migrations/000002_nick.up.sql")
    text = (wrong.path / "out/r.txt").read_text(encoding="utf-8")
    assert error["message"].split(":")[0] in text
    assert "rollback 1 error" in text
    assert "\x1b" not in text
    assert "2 migrations judged: rollback 1 error" in outcome.text


def test_a_report_that_cannot_be_written_fails_the_run(project: Project) -> None:
    project.users().write({"taken": "a file"})
    outcome = project.judge("-q", "--pgmigrate-report=json:taken/r.json")
    assert_clean(outcome)
    assert "the json report could not be written to taken/r.json" in outcome.text
    assert "report: taken/r.json" not in outcome.text
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED


def test_an_unknown_report_is_a_usage_error(project: Project) -> None:
    outcome = project.users().judge("--pgmigrate-report=yaml")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    assert "no report is called 'yaml'; there are: json, text" in outcome.text


def test_select_and_ignore(wrong: Project) -> None:
    selected = wrong.judge("-q", "--pgmigrate-select=PMG4")
    assert codes(selected) == {("000002_nick.up.sql", "PMG402")}
    # A part that no selected check can fail is no item.
    assert set(selected.document["history"][0]["parts"]) == {"rollback", "reapply", "data"}
    ignored = wrong.judge("-q", "--pgmigrate-ignore=down-leaves-difference")
    assert codes(ignored) == set()
    assert ignored.ret == pytest.ExitCode.OK
    unknown = wrong.judge("--pgmigrate-select=PMG999")
    assert unknown.ret == pytest.ExitCode.USAGE_ERROR
    assert "'PMG999'" in unknown.text


def test_strict_turns_warnings_and_a_refused_rerun_into_errors(project: Project) -> None:
    project.users()
    for name in ("000002_nick", "000004_note"):
        column = name[7:]
        project.then(
            name,
            f"{GIVE_WAY}ALTER TABLE users ADD COLUMN {column} text;\n",
            f"ALTER TABLE users DROP COLUMN {column};\n",
        )
    lenient = project.judge("-q")
    assert lenient.ret == pytest.ExitCode.OK
    assert {code for _, code in codes(lenient)} == {"PMG104"}
    strict = project.judge("-q", "--pgmigrate-strict")
    assert strict.ret == pytest.ExitCode.TESTS_FAILED
    errors = {f["code"] for f in strict.document["findings"] if f["severity"] == "error"}
    assert errors == {"PMG104", "PMG204"}


def test_list_starts_nothing(wrong: Project) -> None:
    outcome = wrong.pytest("--pgmigrate-list", "--pgmigrate-ignore=PMG2", environment={"PATH": ""})
    assert outcome.ret == pytest.ExitCode.OK
    assert "migrations (golang-migrate, 2 migrations)" in outcome.text
    assert "000002_nick" in outcome.text
    assert "PMG402 down-leaves-difference" in outcome.text
    assert "PMG201" not in outcome.text


@pytest.mark.parametrize("word", ["PMG402", "pmg402", "down-leaves-difference"])
def test_explain(project: Project, word: str) -> None:
    outcome = project.pytest(f"--pgmigrate-explain={word}")
    assert outcome.ret == pytest.ExitCode.OK
    assert outcome.text.startswith("PMG402 down-leaves-difference (error, part rollback)")
    assert "Bad example" in outcome.text
    assert "Good example" in outcome.text


def test_explain_of_an_unknown_check(project: Project) -> None:
    outcome = project.pytest("--pgmigrate-explain=PMG999")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    assert "no check has the code or slug 'PMG999'" in outcome.text
    assert_clean(outcome)
