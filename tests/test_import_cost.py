"""A plain pytest run with the plugin installed and not used loads its door and nothing behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"psycopg", "psycopg_binary", "sqlglot", "testcontainers", "docker", "faker"}
DOOR = {
    "pytest_pgmigrate",
    "pytest_pgmigrate.plugin",
    "pytest_pgmigrate.options",
    "pytest_pgmigrate.errors",
    "pytest_pgmigrate.hookspecs",
}

# Faker's own plugin is blocked: it loads faker in every run, which is not our doing.
SCRIPT = """
import json, sys, pytest
code = pytest.main(["-p", "no:faker", "-q", *sys.argv[1:]])
print("\\n" + json.dumps([int(code), sorted(sys.modules)]))
"""


def run_pytest(folder: Path, *arguments: str) -> tuple[int, set[str]]:
    """Exit code of a pytest run in a process of its own, and the modules it loaded."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stdout.strip().splitlines()[-1])
    return code, set(modules)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a test and a history."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_one.py").write_text("def test_one():\n    pass\n")
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "000001_a.up.sql").write_text("CREATE TABLE a (id int);\n")
    (folder / "000001_a.down.sql").write_text("DROP TABLE a;\n")
    return tmp_path


def test_plain_run_loads_only_the_door(project: Path) -> None:
    code, modules = run_pytest(project)
    assert code == 0
    assert {name for name in modules if name.split(".")[0] == "pytest_pgmigrate"} == DOOR
    assert {name.split(".")[0] for name in modules} & HEAVY == set()


@pytest.mark.parametrize("argument", ["--help", "--markers", "--collect-only"])
def test_asking_loads_only_the_door(project: Path, argument: str) -> None:
    code, modules = run_pytest(project, argument)
    assert code == 0
    assert {name for name in modules if name.split(".")[0] == "pytest_pgmigrate"} == DOOR
    assert {name.split(".")[0] for name in modules} & HEAVY == set()


def test_the_flag_loads_the_rest(project: Path) -> None:
    """The counterpart: without it the tests above would pass on a plugin that does nothing."""
    code, modules = run_pytest(project, "--pgmigrate", "--collect-only", "--pgmigrate-engine=embedded")
    assert code == 0
    assert {"pytest_pgmigrate.session", "pytest_pgmigrate.collection", "pytest_pgmigrate.registry"} <= modules


def test_listing_needs_no_docker_and_no_fake_data(project: Path) -> None:
    code, modules = run_pytest(project, "--pgmigrate-list")
    assert code == 0
    assert {name.split(".")[0] for name in modules} & {"testcontainers", "docker", "faker"} == set()


def test_public_names_are_lazy_and_there() -> None:
    script = (
        "import sys, pytest_pgmigrate as p; before = 'pytest_pgmigrate.registry' in sys.modules;"
        "[getattr(p, name) for name in p.__all__]; print(before, 'pytest_pgmigrate.registry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
