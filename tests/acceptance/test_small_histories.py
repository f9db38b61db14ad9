"""Small wrong histories must each give their one finding, small sound ones none."""

from __future__ import annotations

import pytest

from tests.acceptance.histories import FIXTURES, Outcome, expected, run

WRONG = sorted(path for path in (FIXTURES / "wrong").iterdir() if path.is_dir())
SOUND = sorted(path for path in (FIXTURES / "sound").iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All of them in one run on one pair of servers: each history has databases of its own."""
    return run(tmp_path_factory.mktemp("project"), {p.name: p for p in [*WRONG, *SOUND]}, "--pgmigrate-engine=embedded")


@pytest.mark.parametrize("name", [path.name for path in WRONG])
def test_wrong_history_gives_its_finding(outcome: Outcome, name: str) -> None:
    assert outcome.findings(name) == expected(FIXTURES / "wrong" / name), outcome.text[-3000:]


@pytest.mark.parametrize("name", [path.name for path in SOUND])
def test_sound_history_gives_none(outcome: Outcome, name: str) -> None:
    assert outcome.findings(name) == set()
    assert all(verdict != "failed" for parts in outcome.parts(name).values() for verdict in parts.values())


def test_no_traceback_and_exit_code_one(outcome: Outcome) -> None:
    assert not outcome.traceback
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
