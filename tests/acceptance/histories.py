"""Runs the fixtures' histories as a user would and compares what is reported with their expected.toml."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"

Found = tuple[str, int, str]


class Outcome:
    """One pytest run of ours: exit code, output and the JSON document."""

    def __init__(self, result: pytest.RunResult, document: dict[str, Any]) -> None:
        self.ret = result.ret
        self.text = result.stdout.str() + result.stderr.str()
        self.document = document

    def findings(self, folder: str) -> set[Found]:
        """Errors and warnings of one history that no directive silenced."""
        return {
            (Path(f["file"]).name, f["line"], f["code"])
            for f in self.document["findings"]
            if Path(f["file"]).parent == Path(folder) and f["severity"] != "info" and not f["ignored"]
        }

    def parts(self, folder: str) -> dict[str, dict[str, str]]:
        """Outcomes by file name and part."""
        return {Path(e["file"]).name: e["parts"] for e in self.document["history"] if e["folder"] == folder}


def expected(folder: Path) -> set[Found]:
    """What expected.toml lists."""
    document = tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))
    return {(f["file"], f["line"], f["code"]) for f in document.get("finding", ())}


def skipped(folder: Path) -> dict[str, str]:
    """Migrations that expected.toml says are skipped, and what they need."""
    document = tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))
    return {entry["file"]: entry["needs"] for entry in document.get("skipped", ())}


def run(pytester: pytest.Pytester, folders: dict[str, Path], *flags: str) -> Outcome:
    """Copy histories into a fresh project and run ``pytest --pgmigrate`` over them."""
    for name, source in folders.items():
        shutil.copytree(source, pytester.path / name)
    paths = [f"--pgmigrate-path={name}" for name in folders]
    result = pytester.runpytest_subprocess(
        "-p", "no:faker", "--pgmigrate", "-m", "pgmigrate", "--pgmigrate-report=json:report.json", *paths, *flags
    )
    report = pytester.path / "report.json"
    return Outcome(result, json.loads(report.read_text(encoding="utf-8")) if report.exists() else {})
