"""What a script leaves in its session is seen, and never reaches the next script."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.errors import ExecutionError
from pytest_pgmigrate.execution.database import Database
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.options import Settings
from tests.execution.conftest import MakeHistory

LEAKS = {
    "search_path": "SET search_path = pg_catalog;",
    "role": "SET ROLE pg_monitor;",
    "session_replication_role": "SET session_replication_role = replica;",
    "row_security": "SET row_security = off;",
    "synchronous_commit": "SET synchronous_commit = off;",
    "lock_timeout": "SET lock_timeout = '1s';",
    "statement_timeout": "SELECT set_config('statement_timeout', '3s', false);",
    "transaction": "BEGIN; CREATE TABLE half (id int);",
    "advisory lock": "SELECT pg_advisory_lock(7);",
    "temporary table": "CREATE TEMP TABLE notes (id int);",
}


@pytest.mark.parametrize("name", LEAKS)
def test_leak_is_named_and_does_not_reach_the_next_script(
    database: Database, make_history: MakeHistory, name: str
) -> None:
    dirty, probe = make_history((LEAKS[name], None), ("SELECT 1;", None)).migrations

    assert [leak.name for leak in database.run("up", dirty, Direction.UP, watched=True).leaks] == [name]
    assert database.run("up", probe, Direction.UP, watched=True).leaks == ()


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN; SET LOCAL search_path = pg_catalog; SELECT 1; COMMIT;",
        "SELECT pg_advisory_xact_lock(7); SELECT 1;",
        "CREATE TEMP TABLE notes (id int) ON COMMIT DROP; SELECT 1;",
        "SET search_path = pg_catalog; RESET search_path;",
    ],
)
def test_what_ends_with_the_script_is_no_leak(database: Database, make_history: MakeHistory, text: str) -> None:
    [migration] = make_history((text, None)).migrations

    assert database.run("up", migration, Direction.UP, watched=True).leaks == ()


def test_second_runner_is_kept_out(cluster: Cluster, database: Database) -> None:
    assert database.control.execute("SELECT 1").fetchall() == [(1,)]
    second = Database(cluster, database.name, Settings(), fresh=False)

    with pytest.raises(ExecutionError, match="another runner holds the advisory lock"):
        second.control.execute("SELECT 1")
    second.release()
