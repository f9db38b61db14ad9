"""Watched and exact runs must do the same to the database, and name the same place when they fail."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.execution.database import Database
from pytest_pgmigrate.model.evidence import Step
from pytest_pgmigrate.model.migration import Direction
from tests.execution.conftest import MakeHistory


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    return database.control.execute(query).fetchall()


def run(database: Database, make_history: MakeHistory, up: str, *, watched: bool) -> Step:
    [migration] = make_history((up, None)).migrations
    return database.run("up", migration, Direction.UP, watched=watched)


@pytest.fixture(params=[True, False], ids=["watched", "exact"])
def watched(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_failing_statement_undoes_the_earlier_ones(
    database: Database, make_history: MakeHistory, watched: bool
) -> None:
    step = run(database, make_history, "CREATE TABLE a (id int);\nINSERT INTO nowhere VALUES (1);\n", watched=watched)

    assert step.error is not None
    assert (step.error.sqlstate, step.error.place.line, step.error.place.column) == ("42P01", 2, 13)
    assert step.error.statement is not None
    assert step.error.statement.text.startswith("INSERT INTO nowhere")
    assert rows(database, "SELECT to_regclass('a')") == [(None,)]


def test_own_commit_keeps_what_came_before_it(database: Database, make_history: MakeHistory, watched: bool) -> None:
    text = "BEGIN;\nCREATE TABLE a (id int);\nCOMMIT;\nCREATE TABLE b (id int);\nSELECT 1/0;\n"
    step = run(database, make_history, text, watched=watched)

    assert step.error is not None
    assert step.error.sqlstate == "22012"
    assert step.error.place.line == 5
    assert rows(database, "SELECT to_regclass('a') IS NOT NULL, to_regclass('b') IS NULL") == [(True, True)]


def test_concurrently_is_refused_beside_another_statement(
    database: Database, make_history: MakeHistory, watched: bool
) -> None:
    text = "CREATE TABLE a (id int);\nCREATE INDEX CONCURRENTLY i ON a (id);\n"
    step = run(database, make_history, text, watched=watched)

    assert step.error is not None
    assert step.error.sqlstate == "25001"
    assert step.error.place.line == 2
    assert rows(database, "SELECT to_regclass('a')") == [(None,)]


def test_concurrently_alone_needs_no_directive(database: Database, make_history: MakeHistory, watched: bool) -> None:
    rows_before = database.control.execute("CREATE TABLE a (id int)")
    assert rows_before.statusmessage == "CREATE TABLE"
    step = run(database, make_history, "-- alone\nCREATE INDEX CONCURRENTLY i ON a (id);\n", watched=watched)

    assert step.error is None
    assert rows(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(True,)]


def test_no_transaction_sends_statement_by_statement(
    database: Database, make_history: MakeHistory, watched: bool
) -> None:
    text = (
        "-- pgmigrate: no-transaction an index is built without blocking writers\n"
        "CREATE TABLE a (id int);\nCREATE INDEX CONCURRENTLY i ON a (id);\nSELECT 1/0;\n"
    )
    step = run(database, make_history, text, watched=watched)

    assert step.error is not None
    assert step.error.place.line == 4
    assert rows(database, "SELECT to_regclass('i') IS NOT NULL") == [(True,)]


def test_savepoint_without_begin_fails_as_the_tool_makes_it_fail(
    database: Database, make_history: MakeHistory, watched: bool
) -> None:
    step = run(database, make_history, "CREATE TABLE a (id int);\nSAVEPOINT s;\n", watched=watched)

    assert step.error is not None
    assert step.error.sqlstate == "25P01"


def test_deferred_constraint_fails_at_the_end(database: Database, make_history: MakeHistory, watched: bool) -> None:
    text = (
        "CREATE TABLE p (id int PRIMARY KEY);\n"
        "CREATE TABLE c (p int REFERENCES p DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO c VALUES (1);\n"
    )
    step = run(database, make_history, text, watched=watched)

    assert step.error is not None
    assert step.error.sqlstate == "23503"
    assert rows(database, "SELECT to_regclass('c')") == [(None,)]


def test_copy_from_stdin_is_an_error_not_a_hang(database: Database, make_history: MakeHistory, watched: bool) -> None:
    step = run(database, make_history, "CREATE TABLE a (id int);\nCOPY a FROM stdin;\n", watched=watched)

    assert step.error is not None
    assert "psql" in step.error.message
    assert rows(database, "SELECT to_regclass('a')") == [(None,)]


def test_columns_count_characters_not_bytes(database: Database, make_history: MakeHistory, watched: bool) -> None:
    step = run(database, make_history, "SELECT 1;\nSELECT 'é', missing;\n", watched=watched)

    assert step.error is not None
    assert (step.error.place.line, step.error.place.column) == (2, 13)


def test_time_outs_hold_for_the_migration(database: Database, make_history: MakeHistory) -> None:
    assert database.session.execute("SHOW lock_timeout").fetchall() == [("5s",)]
    assert database.session.execute("SHOW statement_timeout").fetchall() == [("7s",)]


def test_ledger_records_what_ran(database: Database, make_history: MakeHistory) -> None:
    history = make_history(("CREATE TABLE a (id int);", "DROP TABLE a;"), ("SELECT 1/0;", None))
    first, second = history.migrations
    database.run("up", first, Direction.UP, watched=True)
    database.run("down", first, Direction.DOWN, watched=True)
    database.run("up", second, Direction.UP, watched=True)

    database.write_ledger()
    query = (
        "SELECT version, filename, direction, checksum, execution_time_ms > 0, success FROM pgmigrate.schema_migrations"
        " ORDER BY id"
    )
    assert first.down is not None
    assert rows(database, query) == [
        ("000001", "000001_step.up.sql", "up", first.up.checksum, True, True),
        ("000001", "000001_step.down.sql", "down", first.down.checksum, True, True),
        ("000002", "000002_step.up.sql", "up", second.up.checksum, True, False),
    ]
