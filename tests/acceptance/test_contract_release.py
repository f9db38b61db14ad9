"""An expansion and its contraction in one release: told where it is known what production has, listed where it is not."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.acceptance.conftest import GIVE_WAY, Project
from tests.acceptance.histories import Outcome

EXPAND = (
    "000002_mail",
    GIVE_WAY + "ALTER TABLE users ADD COLUMN mail text;\n",
    "ALTER TABLE users DROP COLUMN mail;\n",
)
CONTRACT = (
    "000003_drop",
    "-- pgmigrate: irreversible[users.email] it is in mail\n"
    "-- pgmigrate: contract, needs=000002 no release reads email\n"
    f"{GIVE_WAY}ALTER TABLE users DROP COLUMN email;\n",
    None,
)
HISTORY = ("-q", "-k", "history")
SUBJECT = "contractions beside what they need"


def _git(project: Project, *words: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *words], cwd=project.path, check=True, capture_output=True)


def _commit(project: Project) -> None:
    _git(project, "add", "-A")
    _git(project, "commit", "-qm", "a step")


def _early(outcome: Outcome) -> list[dict[str, Any]]:
    return [f for f in outcome.document["findings"] if f["code"] == "PMG608"]


def _listed(outcome: Outcome) -> list[str]:
    return [n["subject"] for n in outcome.document["not_judged"] if SUBJECT in n["subject"]]


@pytest.fixture
def whole(project: Project) -> Project:
    """The table, the expansion, the contraction."""
    return project.users().then(*EXPAND).then(*CONTRACT)


@pytest.mark.parametrize(
    ("applied", "early"),
    [("1", True), ("1\n2", False), ("1\n2\n3", False), ("", False)],
    ids=["neither", "expansion", "both", "nothing at all"],
)
def test_against_the_ledger(whole: Project, applied: str, early: bool) -> None:
    """With nothing applied at all there is no release that could be disturbed."""
    whole.write({"ledger.csv": f"version\n{applied}\n"})
    outcome = whole.judge("--pgmigrate-ledger=ledger.csv", *HISTORY)
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    assert _listed(outcome) == []
    found = _early(outcome)
    assert len(found) == early
    for one in found:
        assert (one["severity"], one["migration"], one["line"]) == ("warning", "000003_drop", 2)
        assert "neither of the two is released yet (ledger: ledger.csv): they go out in one deploy" in one["message"]
        assert one["fix"] == "ship 000002_mail first, with a release that uses it, and 000003_drop in a later one"


def test_strict_makes_an_error_of_it(whole: Project) -> None:
    whole.write({"ledger.csv": "version\n1\n"})
    outcome = whole.judge("--pgmigrate-ledger=ledger.csv", "--pgmigrate-strict", *HISTORY)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    assert "PMG608" in outcome.text


@pytest.mark.parametrize("flags", [(), ("--pgmigrate-since=main",)], ids=["all", "since"])
def test_against_the_merge_base(project: Project, flags: tuple[str, ...]) -> None:
    project.users()
    _git(project, "init", "-q", "-b", "main")
    _commit(project)
    _git(project, "switch", "-qc", "branch")
    project.then(*EXPAND)
    _commit(project)
    project.then(*CONTRACT)
    [found] = _early(project.judge(*flags, *HISTORY))
    assert (found["severity"], found["migration"]) == ("warning", "000003_drop")
    assert "neither of the two is released yet (git: merge-base with main" in found["message"]
    # Merged in between: the contraction comes in a release of its own.
    _git(project, "branch", "-f", "main", "branch")
    _commit(project)
    assert _early(project.judge(*flags, *HISTORY)) == []


def test_where_nothing_is_known_it_is_listed(whole: Project) -> None:
    outcome = whole.judge(*HISTORY)
    assert _early(outcome) == []
    assert len(_listed(outcome)) == 1
    assert "is not in a git repository" in outcome.text


def test_a_history_without_contractions_lists_none(project: Project) -> None:
    assert _listed(project.users().judge(*HISTORY)) == []


def test_an_unknown_version_is_said_and_the_run_goes_on(project: Project) -> None:
    name, up, down = CONTRACT
    project.users().then(*EXPAND).then(name, up.replace("needs=000002", "needs=000020"), down)
    outcome = project.judge("-q")
    assert not outcome.traceback
    [found] = _early(outcome)
    assert (found["severity"], found["line"]) == ("error", 2)
    assert "the contraction needs 000020, and there is no such migration" in found["message"]
    assert "the ones right before it are 000001, 000002" in found["fix"]
    parts = {name: verdicts for e in outcome.document["history"] for name, verdicts in [(e["name"], e["parts"])]}
    assert parts["drop"]["history"] == "failed"
    assert parts["drop"]["apply"] == "passed"
