"""Our own runs: when there are two workers, and that a test which must be alone is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fix_workers

ROOT = Path(__file__).parents[1]
FILES = ("test_one", "test_two")
"""A worker takes a file, and then the next one."""

TESTS = """
import fcntl, os
import pytest
from tests.fix_workers import _folder

def may(config, kind):
    descriptor = os.open(config.stash[_folder] / "room", os.O_RDWR)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True

def noted(config, name):
    (config.rootpath / f"{name}{__name__}-{getattr(config, 'workerinput', {}).get('workerid', 'none')}").write_text(
        str(config.stash[_folder])
    )

@pytest.mark.parametrize("number", range(4))
def test_with_others(pytestconfig, number):
    noted(pytestconfig, f"ordinary{number}")
    assert not may(pytestconfig, fcntl.LOCK_EX)
    assert may(pytestconfig, fcntl.LOCK_SH)

@pytest.mark.alone
def test_alone(pytestconfig):
    noted(pytestconfig, "alone")
    assert not may(pytestconfig, fcntl.LOCK_SH)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of which every test says which worker ran it and where the locks are."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\ntestpaths = here\nmarkers = alone: alone\n")
    pytester.makeconftest("pytest_plugins = ['tests.fix_workers']\n")
    here = pytester.mkdir("here")
    for name in FILES:
        (here / f"{name}.py").write_text(TESTS, encoding="utf-8")
    return pytester


def workers(suite: pytest.Pytester, *arguments: str) -> set[str]:
    """Run it; the workers that were there. All tests pass, with locks in one folder, which is gone."""
    suite.runpytest_subprocess("-p", "no:faker", *arguments).assert_outcomes(passed=5 * len(FILES))
    notes = [note for name in ("ordinary", "alone") for note in suite.path.glob(f"{name}*-*")]
    [folder] = {note.read_text(encoding="utf-8") for note in notes}
    assert not Path(folder).exists()
    assert len(notes) == 5 * len(FILES)
    return {note.name.partition("-")[2] for note in notes}


@pytest.mark.parametrize("arguments", [["here"], ["-n0"], ["-p", "no:xdist"]], ids=["path", "n0", "no xdist"])
def test_one_process(suite: pytest.Pytester, arguments: list[str]) -> None:
    assert workers(suite, *arguments) == {"none"}


def test_two_workers_where_they_are_asked_for(suite: pytest.Pytester) -> None:
    assert workers(suite, "-n", "2", "here") == {"gw0", "gw1"}


def test_the_whole_suite_takes_two_workers(suite: pytest.Pytester) -> None:
    expected = {"gw0", "gw1"} if fix_workers._cores() >= fix_workers.WORKERS else {"none"}
    assert workers(suite) == expected
