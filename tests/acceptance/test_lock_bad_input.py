"""Migrations that work against being watched: a finding each, and the run goes on to the last one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.histories import Outcome, run

MIGRATIONS = {
    "create": (
        "CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);\n"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';\n"
        "CREATE TRIGGER note BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION note();\n",
        "DROP TABLE users;\nDROP FUNCTION note();\n",
    ),
    "end_itself": ("SELECT pg_terminate_backend(pg_backend_pid());\n", "SELECT 1;\n"),
    "turn_commits_off": (
        "-- pgmigrate: no-transaction an index built concurrently\nSET synchronous_commit = off;\n"
        "CREATE INDEX CONCURRENTLY users_name ON users (name);\n",
        "-- pgmigrate: no-transaction an index dropped concurrently\nDROP INDEX CONCURRENTLY users_name;\n",
    ),
    "disable_triggers": (
        "SET LOCAL lock_timeout = '5s';\nALTER TABLE users DISABLE TRIGGER note;\n",
        "SET LOCAL lock_timeout = '5s';\nALTER TABLE users ENABLE TRIGGER note;\n",
    ),
    "lock_table": ("BEGIN;\nSET LOCAL lock_timeout = '5s';\nLOCK TABLE users IN SHARE MODE;\nCOMMIT;\n", "SELECT 1;\n"),
    "wait_for_ever": ("SELECT pg_sleep(1000);\n", "SELECT 1;\n"),
    "wait_in_a_block": ("DO $$ BEGIN LOOP PERFORM pg_sleep(0.1); END LOOP; END $$;\n", "SELECT 1;\n"),
    "sound": ("CREATE TABLE orders (id bigint PRIMARY KEY);\n", "DROP TABLE orders;\n"),
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    project = tmp_path_factory.mktemp("project")
    source = tmp_path_factory.mktemp("source") / "history"
    source.mkdir()
    for number, (name, (up, down)) in enumerate(MIGRATIONS.items(), 1):
        (source / f"{number:06d}_{name}.up.sql").write_text(up)
        (source / f"{number:06d}_{name}.down.sql").write_text(down)
    return run(project, {"db": source}, "--pgmigrate-engine=embedded", "--pgmigrate-statement-timeout=2")


def codes(outcome: Outcome, name: str) -> set[tuple[str, str]]:
    return {
        (f["code"], f["severity"])
        for f in outcome.document["findings"]
        if Path(f["file"]).name.endswith(f"_{name}.up.sql") and f["severity"] != "info"
    }


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("create", set()),
        ("end_itself", {("PMG201", "error")}),
        ("turn_commits_off", {("PMG206", "error")}),
        ("disable_triggers", {("PMG324", "warning")}),
        ("lock_table", {("PMG326", "warning")}),
        ("wait_for_ever", {("PMG201", "error")}),
        ("wait_in_a_block", {("PMG201", "error")}),
        ("sound", set()),
    ],
)
def test_a_finding_each(outcome: Outcome, name: str, found: set[tuple[str, str]]) -> None:
    assert codes(outcome, name) == found


def test_what_could_not_be_held_is_said(outcome: Outcome) -> None:
    notes = [n for n in outcome.document["not_judged"] if n["migration"].endswith("turn_commits_off")]
    assert [("synchronous_commit to off" in n["reason"], n["part"]) for n in notes] == [(True, "locks")]


def test_the_run_goes_on(outcome: Outcome) -> None:
    assert outcome.ret == 1
    assert not outcome.traceback
    parts = {name: parts for file, parts in outcome.parts("db").items() for name in MIGRATIONS if f"_{name}." in file}
    assert set(parts["sound"].values()) <= {"passed", "skipped"}
    assert parts["sound"]["locks"] == "passed"
