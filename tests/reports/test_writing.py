"""Report targets: what --pgmigrate-report accepts, and files that cannot be written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_pgmigrate import registry
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.writing import Target, report_targets, write
from tests.reports.documents import document, finding

REPORTS = registry.load_reports()


def test_targets_have_a_report_and_perhaps_a_file() -> None:
    targets = report_targets(["json:out/report.json", "text", "json:C:/a:b.json"], REPORTS)
    assert [(t.report.name, t.file) for t in targets] == [
        ("json", "out/report.json"),
        ("text", None),
        ("json", "C:/a:b.json"),
    ]
    assert report_targets([], REPORTS) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("yaml:x", "no report is called 'yaml'; there are: .*json.*text"),
        ("", "no report is called ''"),
        (":x", "no report is called ''"),
        ("JSON:x", "no report is called 'JSON'"),
        ("json:", "--pgmigrate-report=json:: a file name must follow the colon"),
    ],
)
def test_targets_refuse(value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        report_targets(["text", value], REPORTS)


def test_write_makes_missing_folders(tmp_path: Path) -> None:
    path = tmp_path / "ci" / "reports" / "pgmigrate.json"
    assert write(Target(REPORTS["json"], str(path)), document(finding())) == ""
    assert json.loads(path.read_text(encoding="utf-8"))["findings"][0]["code"] == "PMG402"


def test_write_replaces_an_older_report(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_text("older and much longer " * 500, encoding="utf-8")
    assert write(Target(REPORTS["text"], str(path)), document()) == ""
    assert "older" not in path.read_text(encoding="utf-8")


def test_without_a_file_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert write(Target(REPORTS["text"], None), document()) == ""
    assert os.listdir(tmp_path) == []


def test_write_says_what_went_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "report.json"
    folder.mkdir()
    problem = write(Target(REPORTS["json"], str(folder)), document())
    assert problem == f"the json report could not be written to {folder}: Is a directory"
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "could not be written" in write(Target(REPORTS["json"], str(tmp_path / "file" / "x.json")), document())


@pytest.mark.parametrize("value", ["yaml:out.yaml", "json:"])
def test_a_wrong_target_ends_the_run_before_it_starts(pytester: pytest.Pytester, value: str) -> None:
    (pytester.mkdir("migrations") / "000001_a.up.sql").write_text("SELECT 1;\n", encoding="utf-8")
    result = pytester.runpytest_subprocess("-p", "no:faker", "--pgmigrate", f"--pgmigrate-report={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *"])
    assert "Traceback" not in result.stderr.str()
