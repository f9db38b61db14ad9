"""The user's invariants through whole runs on a real server: kept, broken, wrong SQL, versions nobody knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.histories import Outcome, run
from tests.fix_cluster import own_pair

CREATE = """CREATE TABLE accounts (
    id BIGSERIAL PRIMARY KEY,
    username VARCHAR(30) NOT NULL,
    balance NUMERIC(10, 2) NOT NULL DEFAULT 0 CHECK (balance >= 0)
);
"""
TIMEOUT = "SET LOCAL lock_timeout = '5s';\n"
EXPAND = ("ALTER TABLE accounts ADD COLUMN handle TEXT;", "ALTER TABLE accounts DROP COLUMN handle;")
AGREE = "SELECT id, handle FROM accounts WHERE handle IS DISTINCT FROM lower(username)"
FILL = ("UPDATE accounts SET handle = lower(username);", "UPDATE accounts SET handle = NULL;")

HISTORIES: dict[str, list[tuple[str, str]]] = {
    # name: (up, down) from version 000002 on
    "kept": [EXPAND, (f"-- pgmigrate: verify {AGREE}\n{FILL[0]}", FILL[1])],
    "broken": [EXPAND, (f"-- pgmigrate: verify {AGREE}\nUPDATE accounts SET handle = upper(username);", FILL[1])],
    "broken_later": [
        EXPAND,
        (f"-- pgmigrate: verify {AGREE}\n{FILL[0]}", FILL[1]),
        ("UPDATE accounts SET handle = '' WHERE id = 3;", "UPDATE accounts SET handle = lower(username) WHERE id = 3;"),
    ],
    "broken_by_down": [
        EXPAND,
        (f"-- pgmigrate: verify {AGREE}\n{FILL[0]}", FILL[1]),
        (
            "-- pgmigrate: irreversible the balances are those of a test\nUPDATE accounts SET balance = 0;",
            "UPDATE accounts SET handle = 'x' WHERE id < 3;",
        ),
    ],
    "wrong_sql": [EXPAND, ("-- pgmigrate: verify SELECT id FROM accounts WHERE handel IS NULL\n" + FILL[0], FILL[1])],
    "writes": [
        EXPAND,
        ("-- pgmigrate: verify WITH x AS (DELETE FROM accounts RETURNING 1) TABLE x\n" + FILL[0], FILL[1]),
    ],
    "no_sql": [EXPAND, ("-- pgmigrate: verify every account has a handle\n" + FILL[0], FILL[1])],
    "ends": [
        EXPAND,
        (f"-- pgmigrate: verify SELECT id FROM accounts WHERE length(username) = 0\n{FILL[0]}", FILL[1]),
        (
            "-- pgmigrate: irreversible nobody reads it any more\nALTER TABLE accounts DROP COLUMN username;",
            "ALTER TABLE accounts ADD COLUMN username VARCHAR(30) NOT NULL DEFAULT 'x';",
        ),
        ("CREATE TABLE notes (id INT PRIMARY KEY);", "DROP TABLE notes;"),
    ],
    "random": [
        ("-- pgmigrate: verify SELECT id FROM accounts WHERE balance > 0\nCREATE TABLE a (id INT);", "DROP TABLE a;"),
        ("CREATE TABLE b (id INT);", "DROP TABLE b;"),
    ],
}


def _write(folder: Path, migrations: list[tuple[str, str]]) -> Path:
    folder.mkdir(parents=True)
    (folder / "000001_create.up.sql").write_text(CREATE)
    (folder / "000001_create.down.sql").write_text("DROP TABLE accounts;\n")
    for number, (up, down) in enumerate(migrations, start=2):
        (folder / f"00000{number}_step.up.sql").write_text(f"{TIMEOUT}{up}\n")
        (folder / f"00000{number}_step.down.sql").write_text(f"{TIMEOUT}{down}\n")
    return folder


def _run(project: Path, folders: dict[str, Path], *flags: str) -> Outcome:
    select = "--pgmigrate-select=PMG2,PMG72,PMG902"
    return run(project, folders, f"--pgmigrate-engine={own_pair().name}", select, *flags)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All histories in one run."""
    project = tmp_path_factory.mktemp("invariants")
    folders = {name: _write(project / "source" / name, steps) for name, steps in HISTORIES.items()}
    return _run(project, folders)


def _found(outcome: Outcome, folder: str, *, info: bool = False) -> list[dict[str, Any]]:
    return [
        f
        for f in outcome.document["findings"]
        if f["migration"] and f["file"].startswith(f"{folder}/") and (f["severity"] == "info") is info
        if f["code"] != "PMG204"
    ]


def test_an_invariant_that_holds_is_silent(outcome: Outcome) -> None:
    assert _found(outcome, "kept") == []
    assert _found(outcome, "kept", info=True) == []


def test_a_broken_one_says_where_and_shows_the_rows(outcome: Outcome) -> None:
    [found] = _found(outcome, "broken")
    assert (found["code"], found["severity"], found["line"], found["column"]) == ("PMG720", "error", 2, 22)
    assert found["observed"]["step"] == "after the up"
    assert found["observed"]["rows"] > 0
    assert found["details"][0].startswith("id ")
    assert ", handle " in found["details"][0]
    assert outcome.parts("broken")["000003_step.up.sql"]["data"] == "failed"


def test_it_holds_from_its_version_on(outcome: Outcome) -> None:
    [found] = _found(outcome, "broken_later")
    assert (found["code"], found["migration"]) == ("PMG720", "000004_step")
    assert (found["observed"]["step"], found["observed"]["rows"]) == ("after the up", 1)
    assert "broken_later/000003_step.up.sql:2:22" in found["message"]


def test_it_is_asked_after_the_down(outcome: Outcome) -> None:
    [found] = _found(outcome, "broken_by_down")
    assert (found["code"], found["migration"]) == ("PMG720", "000004_step")
    assert (found["observed"]["step"], found["observed"]["rows"]) == ("after the down", 2)


@pytest.mark.parametrize(
    ("name", "code", "column", "words"),
    [
        ("wrong_sql", "PMG721", 52, 'column "handel" does not exist'),
        ("writes", "PMG721", 22, "read-only transaction"),
        ("no_sql", "PMG902", 1, "verify takes SQL that returns no rows, not 'every account has a handle'"),
    ],
)
def test_bad_input_is_said_with_its_place_and_the_run_goes_on(
    outcome: Outcome, name: str, code: str, column: int, words: str
) -> None:
    [found] = _found(outcome, name)
    assert (found["code"], found["line"], found["column"]) == (code, 2, column)
    assert words in found["message"]
    assert outcome.parts(name)["000003_step.up.sql"]["apply"] == "passed"
    assert not outcome.traceback


def test_it_ends_where_what_it_reads_is_dropped(outcome: Outcome) -> None:
    assert _found(outcome, "ends") == []
    [found] = _found(outcome, "ends", info=True)
    assert (found["code"], "ends with 000004_step" in found["message"]) == ("PMG721", True)


def test_what_fake_rows_break_is_no_fault_of_the_migration(outcome: Outcome) -> None:
    [first] = _found(outcome, "random")
    # At its own version it is asked of whatever is there: the author says that it holds from here on.
    assert (first["code"], first["migration"]) == ("PMG720", "000002_step")
    [later] = _found(outcome, "random", info=True)
    assert (later["code"], later["migration"]) == ("PMG720", "000003_step")


FILES = {
    "000003_agree.sql": AGREE + ";\n",
    "000003-000003_filled.sql": "-- every account\nSELECT id FROM accounts\nWHERE handle IS NULL\n",
    "000002-000002_soon_wrong.sql": "SELECT id FROM accounts WHERE handle IS NOT NULL",
    "always.sql": "SELECT id FROM accounts WHERE balance < 0",
    "said_inside.sql": "-- from 3 until 000004\nSELECT id FROM accounts WHERE handle IS NULL",
    "000099_unknown.sql": "SELECT 1",
    "two.sql": "SELECT 1; SELECT 2",
    "empty.sql": "-- nothing\n",
    "wrong.sql": "SELECT id\nFROM accounts\nWHERE handel IS NULL\n",
    "unfinished.sql": "SELECT 'x",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One sound history with a folder of invariants and a file that is not there."""
    project = tmp_path_factory.mktemp("files")
    history = _write(project / "source", [EXPAND, FILL, ("UPDATE accounts SET handle = NULL;", FILL[0])])
    for name, text in FILES.items():
        (project / "invariants").mkdir(exist_ok=True)
        (project / "invariants" / name).write_text(text)
    return _run(project, {"db": history}, "--pgmigrate-verify=invariants", "--pgmigrate-verify=gone.sql")


def test_files_hold_at_the_versions_that_they_name(files: Outcome) -> None:
    broken = {
        (f["migration"], f["message"].split(" (")[0]) for f in files.document["findings"] if f["code"] == "PMG720"
    }
    assert broken == {
        ("000004_step", "the invariant 000003_agree"),
        ("000004_step", "the invariant said_inside"),
    }


def test_files_that_cannot_be_used_are_said_with_their_place(files: Outcome) -> None:
    found = {
        f["file"].rsplit("/")[-1]: (f["code"], f["line"], f["message"])
        for f in files.document["findings"]
        if f["code"] in ("PMG721", "PMG723")
    }
    assert {name: (code, line) for name, (code, line, _) in found.items()} == {
        "000099_unknown.sql": ("PMG723", 1),
        "two.sql": ("PMG723", 1),
        "empty.sql": ("PMG723", 1),
        "unfinished.sql": ("PMG723", 1),
        "gone.sql": ("PMG723", 1),
        "wrong.sql": ("PMG721", 3),
    }
    assert "which db does not have; its versions are 000001 to 000004" in found["000099_unknown.sql"][2]
    assert "holds 2 statements" in found["two.sql"][2]
    assert files.parts("db")["000002_step.up.sql"]["data"] == "passed"
    assert files.parts("db")["000004_step.up.sql"]["history"] == "failed"
    assert not files.traceback
