"""Runs the fixtures' histories as a user would and compares what is reported with their expected.toml."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"

Found = tuple[str, int, str]


class Outcome:
    """One pytest run of ours: exit code, output and the JSON document."""

    def __init__(self, done: subprocess.CompletedProcess[str], document: dict[str, Any]) -> None:
        self.ret = done.returncode
        self.text = done.stdout + done.stderr
        self.document = document

    @property
    def traceback(self) -> str:
        """The first Python traceback of the output, which no input of a user may cause; "" when there is none."""
        at = self.text.find("Traceback")
        at = at if at >= 0 else self.text.find("raise ")
        return self.text[max(at - 500, 0) : at + 1500] if at >= 0 else ""

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


def words(folder: Path) -> list[str]:
    """What the messages must hold, of the findings for which expected.toml says so."""
    document = tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))
    return [f["says"] for f in document.get("finding", ()) if "says" in f]


def skipped(folder: Path) -> dict[str, str]:
    """Migrations that expected.toml says are skipped, and what they need."""
    document = tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))
    return {entry["file"]: entry["needs"] for entry in document.get("skipped", ())}


def run(project: Path, folders: dict[str, Path], *flags: str) -> Outcome:
    """Copy histories into an empty project and run ``pytest --pgmigrate`` over them in a process of its own."""
    for name, source in folders.items():
        shutil.copytree(source, project / name)
    (project / "pytest.ini").write_text("[pytest]\n")
    paths = [f"--pgmigrate-path={name}" for name in folders]
    report = project / "report.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:faker",
        "-p",
        "no:cacheprovider",
        "--pgmigrate",
        "-m",
        "pgmigrate",
    ]
    command += [f"--pgmigrate-report=json:{report}", *paths, *flags]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return Outcome(done, json.loads(report.read_text(encoding="utf-8")) if report.exists() else {})
