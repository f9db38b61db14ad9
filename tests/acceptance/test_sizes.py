"""Verdicts do not depend on how many rows a table has, nor does the memory that we take."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Project
from tests.acceptance.histories import FIXTURES, Outcome

ECOMMERCE = FIXTURES / "ecommerce"
HISTORIES = [ECOMMERCE / "published", ECOMMERCE / "repaired", *sorted(p for p in (ECOMMERCE / "isolated").iterdir())]

# Of this process alone: the servers are its children's children, or nobody's.
RUN = """
import resource, sys, pytest
code = pytest.main(sys.argv[1:])
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def judge(project: Path, rows: int, *flags: str) -> tuple[Outcome, int]:
    """One run with so many rows a table, and the most memory (KiB) that our process had."""
    report = project / f"report-{rows}.json"
    command = [sys.executable, "-c", RUN, "-p", "no:faker", "-p", "no:cacheprovider", "--pgmigrate", "-m", "pgmigrate"]
    command += [f"--pgmigrate-report=json:{report}", f"--pgmigrate-rows={rows}", "--pgmigrate-engine=embedded", *flags]
    done = subprocess.run(
        command,
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "200"},
    )
    outcome = Outcome(done, json.loads(report.read_text(encoding="utf-8")) if report.exists() else {})
    assert not outcome.traceback
    [peak] = [int(line.split()[1]) for line in outcome.text.splitlines() if line.startswith("PEAK ")]
    return outcome, peak


def found(outcome: Outcome) -> set[tuple[str, int, str, str]]:
    """Every finding by file, line, code and severity."""
    return {
        (f["file"], f["line"], f["code"], f["severity"])
        for f in outcome.document["findings"]
        if f["severity"] != "info" and not f["ignored"]
    }


@pytest.fixture
def ecommerce(tmp_path: Path) -> Iterator[tuple[Path, list[str]]]:
    """The histories of the first article as one project, with the flags that name them."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for source in HISTORIES:
        shutil.copytree(source, tmp_path / source.name)
    yield tmp_path, [f"--pgmigrate-path={source.name}" for source in HISTORIES]
    shutil.rmtree(tmp_path)


@pytest.mark.slow
def test_verdicts_are_the_same_with_20_rows_and_with_100_000(ecommerce: tuple[Path, list[str]]) -> None:
    project, flags = ecommerce
    (few, low), (many, high) = (judge(project, rows, *flags) for rows in (20, 100_000))

    assert found(few)
    assert found(many) == found(few)
    assert many.document["history"]
    # Whatever grew with the rows would have grown five thousand times.
    assert high < low * 1.5


def test_verdicts_are_the_same_above_the_bounds_of_small_tables(tmp_path: Path) -> None:
    """A history that loses rows in its down, with tables that share a copy, and with one that has its own."""
    source = FIXTURES / "wrong" / "later_rows_lost"
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    shutil.copytree(source, tmp_path / "migrations")
    few, many = (judge(tmp_path, rows)[0] for rows in (20, 21_000))

    assert found(many) == found(few)
    assert "PMG408" in {code for _, _, code, _ in found(many)}


USERS = """
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    points integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
"""


@pytest.mark.slow
def test_one_cell_of_a_million_rows(project: Project) -> None:
    """Table, key, column, old and new value, in one run as a user would start it."""
    project.write({"migrations/000001_users.up.sql": USERS, "migrations/000001_users.down.sql": "DROP TABLE users;"})
    project.then(
        "000002_phone",
        "SET LOCAL lock_timeout = '5s';\nALTER TABLE users ADD COLUMN phone text;\n",
        "ALTER TABLE users DROP COLUMN phone;\nUPDATE users SET points = -42 WHERE id = 777777;\n",
    )
    outcome, peak = judge(project.path, 1_000_000)

    [lost] = [f for f in outcome.document["findings"] if f["code"] == "PMG403"]
    assert Path(lost["file"]).name == "000002_phone.down.sql"
    assert lost["line"] == 2
    [shown] = [line for line in outcome.text.splitlines() if "777777" in line and "is '-42'" in line]
    assert "public.users row id 777777: points was '" in shown
    # A million rows of this table are more than 300 MB as Python has them.
    assert peak < 250 * 1024
