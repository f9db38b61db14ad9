"""A small project of a user, and pytest run in it as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.histories import Outcome
from tests.engines.leftovers import MARK, dead_directories, marked_processes, until_none

USERS_UP = "CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL);\n"
USERS_DOWN = "DROP TABLE users;\n"
GIVE_WAY = "SET LOCAL lock_timeout = '5s';\n"
"""Stands before what locks users: a sound migration gives no warning."""

EMBEDDED = ("--pgmigrate-engine=embedded", "--pgmigrate-rows=3")
PATIENCE = 180
"""Seconds after which a run counts as hanging: far more than any takes."""


class Project:
    """A folder with files, in which pytest is run. ``left`` tells what a run has not cleaned up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mark = uuid.uuid4().hex
        self.write({"pytest.ini": "[pytest]\n"})

    def write(self, files: dict[str, str | bytes]) -> Project:
        """Write files, making their folders."""
        for name, content in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def users(self, folder: str = "migrations") -> Project:
        """The first migration of most histories here: a table with its down."""
        return self.write({f"{folder}/000001_users.up.sql": USERS_UP, f"{folder}/000001_users.down.sql": USERS_DOWN})

    def then(self, name: str, up: str | bytes, down: str | bytes | None, folder: str = "migrations") -> Project:
        """One more migration."""
        self.write({f"{folder}/{name}.up.sql": up})
        return self if down is None else self.write({f"{folder}/{name}.down.sql": down})

    def environment(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        """The environment of a run: everything that it starts can be told by the mark."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PGMIGRATE_DSN", "PGMIGRATE_REP"))}
        return {**kept, MARK: self.mark, "COLUMNS": "200", **(extra or {})}

    def command(self, *args: str, cache: bool = False) -> list[str]:
        """The command line of one run."""
        return [sys.executable, "-m", "pytest", "-p", "no:faker", *(() if cache else ("-p", "no:cacheprovider")), *args]

    def pytest(
        self, *args: str, cache: bool = False, environment: dict[str, str] | None = None, folder: str = "."
    ) -> Outcome:
        """Run pytest with exactly these arguments (and a JSON report under ``--pgmigrate``)."""
        report = self.path / f"report-{uuid.uuid4().hex}.json"
        flags = [f"--pgmigrate-report=json:{report}"] if "--pgmigrate" in args else []
        done = subprocess.run(
            [*self.command(cache=cache), *flags, *args],
            cwd=self.path / folder,
            env=self.environment(environment),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
        )
        return Outcome(done, json.loads(report.read_text(encoding="utf-8")) if report.exists() else {})

    def judge(self, *args: str, **options: Any) -> Outcome:
        """``pytest --pgmigrate`` on the embedded engine, few rows."""
        return self.pytest("--pgmigrate", *EMBEDDED, *args, **options)

    def left(self) -> list[str]:
        """Processes that runs in this project started and that still run; directories whose run is dead."""
        return until_none(lambda: [*marked_processes(self.mark), *dead_directories()], 10)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project; at the end nothing that was started in it may be left."""
    made = Project(tmp_path)
    yield made
    assert made.left() == []


def codes(outcome: Outcome) -> set[tuple[str, str]]:
    """(file name, code) of every error and warning that no directive silenced."""
    return {
        (Path(f["file"]).name, f["code"])
        for f in outcome.document["findings"]
        if f["severity"] != "info" and not f["ignored"]
    }


def assert_clean(outcome: Outcome) -> None:
    """Whatever the input: neither a Python traceback nor pytest's INTERNALERROR."""
    for word in ("Traceback", "INTERNALERROR", "raise "):
        assert word not in outcome.text, outcome.text[-4000:]
