"""Every pair of fixtures/checks on real servers: the bad one gives its one finding, the good one none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.checks import made

ROOT = Path(__file__).resolve().parents[2]
PAIRS = ROOT / "fixtures" / "checks"
SCHEMA = ROOT / "docs" / "reference" / "json-report.schema.json"

BESIDE = {
    "PMG205": {"PMG201"},
    "PMG308": {"PMG701"},
    "PMG309": {"PMG701"},
    "PMG311": {"PMG701"},
    "PMG724": {"PMG706"},
}
"""What else a bad example gives: changes left by an up that fails do not say why it failed, and whoever adds a constraint
takes rows for granted, however it is added; what a batch adds to twice, it adds to values of others as well."""

ALWAYS = {"PMG204", "PMG207", "PMG331", "PMG409", "PMG503", "PMG606"}
"""Information that any history may give."""

NEEDS_LEDGER = sorted(path.parent.parent.name for path in PAIRS.glob("*/bad/ledger.csv"))
NEEDS_FLAG = {"PMG504": "--pgmigrate-max-wal-bytes=200000"}
"""What only a setting makes a finding of."""

NOT_RUN = {path.parent.name for path in PAIRS.glob("*/README.md")}
"""What no SQL can show (PMG501, PMG502); the pair's README says why."""

CODES = sorted(path.name for path in PAIRS.glob("PMG*"))
BAD = [code for code in CODES if code not in {*NOT_RUN, *NEEDS_LEDGER, *NEEDS_FLAG}]


@dataclass(frozen=True)
class Outcome:
    """One pytest run over several histories."""

    returncode: int
    output: str
    document: dict[str, Any]

    def findings(self, folder: str) -> list[dict[str, Any]]:
        """The findings of one history that no directive silenced."""
        return [f for f in self.document["findings"] if f["file"].startswith(f"{folder}/") and not f["ignored"]]

    def parts(self, folder: str) -> list[tuple[str, str]]:
        """Every part of one history with its outcome."""
        return [item for e in self.document["history"] if e["folder"] == folder for item in e["parts"].items()]


def _run(root: Path, histories: dict[str, Path], *flags: str) -> Outcome:
    """Copy histories into a project of their own and run only our items."""
    for name, source in histories.items():
        shutil.copytree(source, root / name)
    paths = [f"--pgmigrate-path={name}" for name in histories]
    paths += [f"--pgmigrate-queries={name}/queries" for name in histories if (root / name / "queries").is_dir()]
    quiet = ("-p", "no:faker", "-p", "no:cacheprovider", "-m", "pgmigrate", f"--rootdir={root}")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, "--pgmigrate", "--pgmigrate-report=json:out.json", *paths, *flags],
        cwd=root,
        env={k: v for k, v in os.environ.items() if not k.startswith(("PGMIGRATE_", "PYTEST_"))},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    output = result.stdout + result.stderr
    assert (root / "out.json").exists(), output
    return Outcome(result.returncode, output, json.loads((root / "out.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All bad examples in one run on one pair of servers; each history has databases of its own."""
    histories = {code: PAIRS / code / "bad" for code in BAD}
    return _run(tmp_path_factory.mktemp("bad"), histories, "--pgmigrate-engine=embedded")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All good examples, likewise, and a bad one whose finding a directive silences."""
    histories = {code: PAIRS / code / "good" for code in CODES}
    histories["silenced"] = tmp_path_factory.mktemp("silenced")
    up = next((PAIRS / "PMG101" / "bad").glob("*.up.sql"))
    silent = "-- pgmigrate: ignore-file[missing-down] written by hand when needed\n"
    (histories["silenced"] / up.name).write_text(silent + up.read_text(encoding="utf-8"), encoding="utf-8")
    return _run(tmp_path_factory.mktemp("good"), histories, "--pgmigrate-engine=embedded")


def _codes(findings: list[dict[str, Any]], *but: str) -> Counter[str]:
    return Counter(f["code"] for f in findings if f["code"] not in but)


def _shown(findings: list[dict[str, Any]]) -> str:
    return "\n".join(f"{f['file']}:{f['line']}: {f['code']} {f['severity']} {f['message']}" for f in findings)


@pytest.mark.parametrize("code", BAD)
def test_bad_gives_its_one_finding(bad: Outcome, code: str) -> None:
    found = bad.findings(code)
    beside = {*ALWAYS, *BESIDE.get(code, ())} - {code}
    assert _codes(found, *beside) == {code: 1}, _shown(found)
    assert BESIDE.get(code, set()) <= set(_codes(found)), _shown(found)
    check = made.CHECKS[code]
    mine = next(f for f in found if f["code"] == code)
    assert (mine["slug"], mine["part"]) == (check.slug, check.part.value)
    failed = {part for part, verdict in bad.parts(code) if verdict == "failed"}
    # An orphan down belongs to no migration, its item is the file's own.
    expected = {check.part.value} if mine["severity"] == "error" and mine["migration"] else set()
    assert failed == expected, bad.parts(code)


@pytest.mark.parametrize("code", BAD)
def test_the_place_is_in_the_file(bad: Outcome, code: str) -> None:
    mine = next(f for f in bad.findings(code) if f["code"] == code)
    lines = (PAIRS / code / "bad" / Path(mine["file"]).name).read_bytes().splitlines()
    assert 1 <= mine["line"] <= len(lines)
    assert 1 <= mine["column"] <= len(lines[mine["line"] - 1]) + 1


@pytest.mark.parametrize("code", CODES)
def test_good_gives_nothing(good: Outcome, code: str) -> None:
    found = good.findings(code)
    assert [f for f in found if f["severity"] != "info"] == [], _shown(found)
    if code not in ("PMG409", "PMG503"):  # the good one declares, or locks for an instant, which is information
        assert code not in _codes(found), _shown(found)
    parts = good.parts(code)
    assert parts, "nothing was judged"
    assert not [part for part in parts if part[1] == "failed"]


def test_a_silenced_finding_of_the_history_is_no_unused_directive(good: Outcome) -> None:
    silenced = [f for f in good.document["findings"] if f["file"].startswith("silenced/") and f["ignored"]]
    assert [(f["code"], f["ignored"]) for f in silenced] == [("PMG101", "written by hand when needed")]
    assert _codes(good.findings("silenced"), *ALWAYS) == {}, _shown(good.findings("silenced"))


@pytest.mark.parametrize("code", NEEDS_LEDGER)
@pytest.mark.parametrize("kind", ["bad", "good"])
def test_against_the_ledger(tmp_path: Path, code: str, kind: str) -> None:
    seen = _run(tmp_path, {"db": PAIRS / code / kind}, "--pgmigrate-ledger=db/ledger.csv", "-k", "history")
    expected = {code: 1} if kind == "bad" else {}
    assert _codes(seen.findings("db")) == expected, _shown(seen.findings("db"))
    assert seen.returncode == (1 if kind == "bad" else 0), seen.output
    assert not any("edited and out-of-order" in n["subject"] for n in seen.document["not_judged"])


@pytest.mark.parametrize("code", NEEDS_FLAG)
def test_with_its_setting(tmp_path: Path, code: str) -> None:
    histories = {kind: PAIRS / code / kind for kind in ("bad", "good")}
    seen = _run(tmp_path, histories, "--pgmigrate-engine=embedded", NEEDS_FLAG[code])
    assert _codes(seen.findings("bad"), *ALWAYS) == {code: 1}, _shown(seen.findings("bad"))
    assert _codes(seen.findings("good"), *ALWAYS) == {}, _shown(seen.findings("good"))
    assert seen.returncode == 0, seen.output


def test_nothing_breaks(bad: Outcome, good: Outcome) -> None:
    assert (bad.returncode, good.returncode) == (1, 0)
    for outcome in (bad, good):
        assert "Traceback" not in outcome.output
        assert "INTERNALERROR" not in outcome.output
        assert outcome.document["engine"] == "embedded"


@pytest.mark.parametrize("kind", ["bad", "good"])
def test_the_report_follows_its_schema(kind: str, request: pytest.FixtureRequest) -> None:
    outcome: Outcome = request.getfixturevalue(kind)
    jsonschema.validate(outcome.document, json.loads(SCHEMA.read_text(encoding="utf-8")))
