"""What a crash leaves exactly after each commit of a statement that commits in its middle, and what running it again gives.

The five kinds at every commit, on two major versions. What is left is read from the catalogs by queries of this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import psycopg
import pytest

from pytest_pgmigrate.errors import ExecutionError
from pytest_pgmigrate.execution.drills._crash import check_outcome, crash_at
from pytest_pgmigrate.execution.gate import disarm
from pytest_pgmigrate.model.cluster import Cluster, Fork, Forks

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t SELECT g, g FROM generate_series(1, 20) g;
CREATE INDEX t_old ON t (v);
CREATE TABLE p (k int NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
"""
NOTHING = {"t_old": "valid", "t_pkey": "valid", "p1": "attached"}
"""What is there when nothing was begun."""

# -- the table: statement -> after commit k: what differs from NOTHING, how the same statement ends, what differs then ----

Facts = dict[str, str | None]
Row = tuple[Facts, str, Facts]
OK = ""

CREATED: Facts = {"t_new": "valid"}
DROPPED: Facts = {"t_old": None}
DETACHED: Facts = {"p1": None, "p1 checks": "1"}
PENDING: Facts = {"p1": "detach pending", "p1 checks": "1"}
SET: Facts = {"a": "not null, 20 values"}
NEW, OLD = "t_pkey_ccnew", "t_pkey_ccold"

BATCHES = """DO $$ BEGIN
    ALTER TABLE t ADD COLUMN {0}a int; COMMIT;
    UPDATE t SET a = 1 WHERE a IS NULL; COMMIT;
    ALTER TABLE t ALTER COLUMN a SET NOT NULL; COMMIT;
END $$"""

TABLE: dict[str, list[Row]] = {
    "CREATE INDEX CONCURRENTLY t_new ON t (v)": [
        ({"t_new": "invalid, not ready"}, "42P07", {"t_new": "invalid, not ready"}),
        ({"t_new": "invalid, ready"}, "42P07", {"t_new": "invalid, ready"}),
        (CREATED, "42P07", CREATED),
    ],
    # No error, and the index stays invalid: what PMG304 is about.
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_new ON t (v)": [
        ({"t_new": "invalid, not ready"}, OK, {"t_new": "invalid, not ready"}),
        ({"t_new": "invalid, ready"}, OK, {"t_new": "invalid, ready"}),
        (CREATED, OK, CREATED),
    ],
    "DROP INDEX CONCURRENTLY t_old": [
        ({"t_old": "invalid, ready"}, OK, DROPPED),
        ({"t_old": "invalid, not ready"}, OK, DROPPED),
        (DROPPED, "42704", DROPPED),
    ],
    "DROP INDEX CONCURRENTLY IF EXISTS t_old": [
        ({"t_old": "invalid, ready"}, OK, DROPPED),
        ({"t_old": "invalid, not ready"}, OK, DROPPED),
        (DROPPED, OK, DROPPED),
    ],
    # It succeeds every time, and the leftover stays.
    "REINDEX INDEX CONCURRENTLY t_pkey": [
        ({NEW: "invalid, not ready"}, OK, {NEW: "invalid, not ready"}),
        ({NEW: "invalid, ready"}, OK, {NEW: "invalid, ready"}),
        ({OLD: "invalid, ready"}, OK, {OLD: "invalid, ready"}),
        ({OLD: "invalid, not ready"}, OK, {OLD: "invalid, not ready"}),
        ({}, OK, {}),
    ],
    "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY": [
        (PENDING, "55000", PENDING),
        (DETACHED, "42P01", DETACHED),
    ],
    BATCHES.format(""): [
        ({"a": "null, 0 values"}, "42701", {"a": "null, 0 values"}),
        ({"a": "null, 20 values"}, "42701", {"a": "null, 20 values"}),
        (SET, "42701", SET),
    ],
    BATCHES.format("IF NOT EXISTS "): [
        ({"a": "null, 0 values"}, OK, SET),
        ({"a": "null, 20 values"}, OK, SET),
        (SET, OK, SET),
    ],
}

# What finishes the work after a crash at any commit: the remedy that findings name.
REMEDIES: dict[str, tuple[list[str], Facts]] = {
    "CREATE INDEX CONCURRENTLY t_new ON t (v)": (
        ["DROP INDEX CONCURRENTLY IF EXISTS t_new", "CREATE INDEX CONCURRENTLY t_new ON t (v)"],
        CREATED,
    ),
    "REINDEX INDEX CONCURRENTLY t_pkey": (
        [
            f"DROP INDEX CONCURRENTLY IF EXISTS {NEW}",
            f"DROP INDEX CONCURRENTLY IF EXISTS {OLD}",
            "REINDEX INDEX CONCURRENTLY t_pkey",
        ],
        {},
    ),
}

INDEXES = """
SELECT c.relname, CASE WHEN indisvalid THEN 'valid' WHEN indisready THEN 'invalid, ready' ELSE 'invalid, not ready' END
FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = 't'::regclass
"""
PARTITIONS = """
SELECT c.relname, CASE WHEN inhdetachpending THEN 'detach pending' ELSE 'attached' END
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
"""
CHECKS = "SELECT 'p1 checks', count(*)::text FROM pg_constraint WHERE conrelid = 'p1'::regclass AND contype = 'c'"
COLUMN = "SELECT attnotnull FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'a'"
REPEATS = 100
LOCAL = "-c synchronous_commit=local"


def facts(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Indexes, partitions and the column as the catalogs have them."""
    found = dict(connection.execute(INDEXES).fetchall() + connection.execute(PARTITIONS).fetchall())
    found |= {name: number for name, number in connection.execute(CHECKS).fetchall() if number != "0"}
    for (required,) in connection.execute(COLUMN).fetchall():
        [(values,)] = connection.execute("SELECT count(a) FROM t").fetchall()
        found["a"] = f"{'not null' if required else 'null'}, {values} values"
    return found


def expected(differs: Facts) -> dict[str, str]:
    """``NOTHING`` with what differs; None is what is gone."""
    return {name: value for name, value in {**NOTHING, **differs}.items() if value is not None}


def outcome(connection: psycopg.Connection[Any], text: str) -> str:
    """The SQLSTATE of the error that a statement ends with."""
    try:
        connection.execute(text.encode())
    except psycopg.Error as error:
        return error.sqlstate or "lost"
    return OK


def look(server: Server, text: str, stop: int, row: Row) -> None:
    """One row of the table, seen."""
    left, ends, then = row
    with server.crashed(text, stop) as connection:
        assert facts(connection) == expected(left)
        assert outcome(connection, text) == ends
        assert facts(connection) == expected(then)


@dataclass
class Server:
    """A copy of a primary, with the database to clone for each crash."""

    fork: Fork
    base: str

    @contextmanager
    def crashed(self, text: str, stop: int) -> Iterator[psycopg.Connection[Any]]:
        """A connection after ``text`` was stopped by a crash at this commit."""
        name = self.fork.create_database("crash", template=self.base)
        session, control = (self.fork.connect(name, options=LOCAL) for _ in range(2))
        try:
            with closing(session), closing(control):
                crash_at(self.fork, session, control, text, stop)
            with self.fork.connect(name) as connection:
                yield connection
        finally:
            self.fork.drop_database(name)


@pytest.fixture(params=["embedded_cluster", "local_cluster"], ids=["embedded", "local"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    cluster: Cluster = request.getfixturevalue(request.param)
    base = cluster.create_database("base")
    with cluster.connect(base) as connection:
        connection.execute(SCHEMA)
        assert facts(connection) == NOTHING
    with closing(cast("Forks", cluster).fork()) as fork:
        yield Server(fork, base)
    cluster.drop_database(base)


CASES = [
    pytest.param(text, stop, row, id=f"{' '.join(text.split()[:8])} @{stop}")
    for text, rows in TABLE.items()
    for stop, row in enumerate(rows, 1)
]


@pytest.mark.parametrize(("text", "stop", "row"), CASES)
def test_what_is_left_and_what_a_second_run_gives(server: Server, text: str, stop: int, row: Row) -> None:
    look(server, text, stop, row)


@pytest.mark.slow
def test_every_row_of_the_table_is_the_same_each_time(server: Server) -> None:
    for _ in range(REPEATS):
        for text, rows in TABLE.items():
            for stop, row in enumerate(rows, 1):
                look(server, text, stop, row)


@pytest.mark.parametrize("text", TABLE, ids=lambda text: " ".join(text.split()[:8]))
def test_there_is_no_commit_beyond_the_table(server: Server, text: str) -> None:
    beyond = len(TABLE[text]) + 1
    said = f"not held at commit {beyond}: it has {beyond - 1} here"
    with pytest.raises(ExecutionError, match=said), server.crashed(text, beyond):
        pass


@pytest.mark.parametrize(
    ("text", "stop"), [(text, stop) for text in REMEDIES for stop in range(1, len(TABLE[text]) + 1)]
)
def test_the_remedy_finishes_the_work(server: Server, text: str, stop: int) -> None:
    statements, then = REMEDIES[text]
    with server.crashed(text, stop) as connection:
        assert [outcome(connection, statement) for statement in statements] == [OK] * len(statements)
        assert facts(connection) == expected(then)


def test_a_pending_detach_is_finished_with_finalize(server: Server) -> None:
    with server.crashed("ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY", 1) as connection:
        assert outcome(connection, "ALTER TABLE p DETACH PARTITION p1 FINALIZE") == OK
        assert facts(connection) == expected(DETACHED)


def test_what_goes_wrong_while_the_server_is_gone_is_what_is_raised(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = server.fork.crash

    def given_up() -> None:
        crash()
        raise KeyboardInterrupt

    monkeypatch.setattr(server.fork, "crash", given_up)
    try:
        name = server.fork.create_database("crash", template=server.base)
        session, control = (server.fork.connect(name, options=LOCAL) for _ in range(2))
        with closing(session), closing(control), pytest.raises(KeyboardInterrupt):
            crash_at(server.fork, session, control, "CREATE INDEX CONCURRENTLY t_new ON t (v)", 1)
    finally:
        server.fork.restart()
        with server.fork.connect(server.fork.maintenance_database, options=LOCAL) as connection:
            disarm(connection)
    server.fork.drop_database(name)


def test_a_crash_at_another_moment_is_noticed(server: Server) -> None:
    """What the drill asks of the server that came back, of three transactions: two committed, one not."""
    numbers = []
    for keep in (True, False, True):
        with server.fork.connect(server.base, autocommit=False) as connection:
            [(number,)] = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
            numbers.append(number)
            if not keep:
                connection.rollback()
    first, aborted, last = numbers
    check_outcome(server.fork, last, last + 1, 3)
    with pytest.raises(ExecutionError, match="came back with more than commit 1"):
        check_outcome(server.fork, first, first + 1, 1)
    with pytest.raises(ExecutionError, match="came back without commit 2"):
        check_outcome(server.fork, aborted, last + 1, 2)
