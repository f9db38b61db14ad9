"""Our ledger: what it records, and that it outlives a migration that drops or changes it."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.execution.database import Database
from pytest_pgmigrate.model.migration import Direction
from tests.execution.conftest import MakeHistory

SPOILING = {
    "schema dropped": "DROP SCHEMA pgmigrate CASCADE;",
    "table dropped": "DROP TABLE pgmigrate.schema_migrations;",
    "column dropped": "ALTER TABLE pgmigrate.schema_migrations DROP COLUMN checksum;",
    "rows refused": "ALTER TABLE pgmigrate.schema_migrations ADD CHECK (id < 0) NOT VALID;",
}


def rows(database: Database) -> list[tuple[object, ...]]:
    """What stands in the ledger, in the order it was written."""
    return database.control.execute(
        "SELECT version, filename, direction, success FROM pgmigrate.schema_migrations ORDER BY id"
    ).fetchall()


def test_every_script_is_recorded_in_the_order_it_ran(database: Database, make_history: MakeHistory) -> None:
    first, second = make_history(("CREATE TABLE a (i int);", "DROP TABLE a;"), ("SELECT no_such;", None)).migrations
    for migration, direction in ((first, Direction.UP), (first, Direction.DOWN), (second, Direction.UP)):
        database.run(direction.value, migration, direction, watched=False)
    assert rows(database) == []  # written together later, not one by one
    database.write_ledger()

    assert rows(database) == [
        ("000001", "000001_step.up.sql", "up", True),
        ("000001", "000001_step.down.sql", "down", True),
        ("000002", "000002_step.up.sql", "up", False),
    ]


@pytest.mark.parametrize("how", SPOILING)
def test_a_spoilt_ledger_is_made_anew(database: Database, make_history: MakeHistory, how: str) -> None:
    sound, spoiling = make_history(("SELECT 1;", None), (SPOILING[how], None)).migrations
    database.run("up", sound, Direction.UP, watched=False)
    database.write_ledger()
    step = database.run("up", spoiling, Direction.UP, watched=False)
    assert step.error is None
    database.pause()  # every clone of the database comes after this

    assert rows(database) == [("000002", "000002_step.up.sql", "up", True)]
    database.run("up", sound, Direction.UP, watched=False)
    database.write_ledger()
    assert [row[0] for row in rows(database)] == ["000002", "000001"]
