"""Our own runs: processes that tests start share bytecode, also where Python was told to write none."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
import subprocess, sys
from pathlib import Path

def test_it():
    code = "import sys, json; print(sys.dont_write_bytecode, sys.pycache_prefix, json.__cached__)"
    for _ in range(2):
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert said[0] == "False"
        assert said[2].startswith(said[1])
        assert Path(said[2]).exists()
    Path("prefix").write_text(said[1])
"""


def test_bytecode_is_kept_for_the_run_and_not_beside_the_sources(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    pytester.makeconftest("pytest_plugins = ['tests.fix_compiled']\n")
    pytester.makepyfile(test_it=TESTS)
    pytester.runpytest_subprocess("-p", "no:faker").assert_outcomes(passed=1)
    assert not Path((pytester.path / "prefix").read_text(encoding="utf-8")).exists()
    assert list(pytester.path.rglob("__pycache__")) == []
