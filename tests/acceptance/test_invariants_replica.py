"""Invariants that hold on the primary and not on its replica: asked there too, and said to be red there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.histories import Outcome, run

CREATE = "CREATE TABLE accounts (id BIGSERIAL PRIMARY KEY, username VARCHAR(30) NOT NULL);\n"
HANDLE = "ALTER TABLE accounts ADD COLUMN handle TEXT;"
DROP = "ALTER TABLE accounts DROP COLUMN handle;"
REPLICA = "on the replica, after the up"
HISTORIES = {
    # name: (up, down) of the version that says what must hold
    "recovery": (
        f"-- pgmigrate: verify SELECT id, username FROM accounts WHERE pg_is_in_recovery() AND id < 3\n{HANDLE}",
        DROP,
    ),
    "read_only": (
        f"-- pgmigrate: verify SELECT name FROM pg_settings WHERE name = 'transaction_read_only' AND setting = 'off'\n{HANDLE}",
        DROP,
    ),
    "unlogged": (
        "-- pgmigrate: verify SELECT id FROM cache WHERE id < 0\nCREATE UNLOGGED TABLE cache (id INT PRIMARY KEY);",
        "DROP TABLE cache;",
    ),
    "kept": (f"-- pgmigrate: verify SELECT id FROM accounts WHERE username IS NULL\n{HANDLE}", DROP),
}


@pytest.fixture(scope="module", params=["local", "embedded"])
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All histories in one run, on each version."""
    engine = request.getfixturevalue(f"{request.param}_cluster").engine
    project = tmp_path_factory.mktemp("replica")
    folders = {}
    for name, (up, down) in HISTORIES.items():
        folder = folders[name] = project / "source" / name
        folder.mkdir(parents=True)
        (folder / "000001_create.up.sql").write_text(CREATE)
        (folder / "000001_create.down.sql").write_text("DROP TABLE accounts;\n")
        (folder / "000002_say.up.sql").write_text(f"SET LOCAL lock_timeout = '5s';\n{up}\n")
        (folder / "000002_say.down.sql").write_text(f"SET LOCAL lock_timeout = '5s';\n{down}\n")
    return run(project, folders, f"--pgmigrate-engine={engine}", "--pgmigrate-select=PMG72")


def _found(outcome: Outcome, folder: str) -> list[dict[str, Any]]:
    return [f for f in outcome.document["findings"] if f["file"].startswith(f"{folder}/")]


def test_one_that_is_red_on_the_replica_alone_says_so_and_shows_the_rows(outcome: Outcome) -> None:
    [found] = _found(outcome, "recovery")
    assert (found["code"], found["severity"], found["line"]) == ("PMG720", "error", 2)
    assert (found["observed"]["step"], found["observed"]["rows"]) == (REPLICA, 2)
    assert f"returns 2 rows {REPLICA}" in found["message"]
    assert found["details"][0].startswith("id 1, username ")
    assert outcome.parts("recovery")["000002_say.up.sql"]["data"] == "failed"


def test_one_that_cannot_be_asked_there_says_so(outcome: Outcome) -> None:
    [found] = _found(outcome, "unlogged")
    assert (found["code"], found["observed"]["step"]) == ("PMG721", REPLICA)
    assert REPLICA in found["message"]
    assert "unlogged relations during recovery" in found["message"]
    assert "a replica has no rows of unlogged tables" in found["fix"]


@pytest.mark.parametrize("name", ["kept", "read_only"])
def test_what_holds_on_both_is_silent(outcome: Outcome, name: str) -> None:
    """Every invariant is asked in a transaction that only reads, on the primary as on the replica."""
    assert _found(outcome, name) == []
    assert outcome.parts(name)["000002_say.up.sql"]["data"] == "passed"
