"""The ledger of the production database through a DSN, on a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from pytest_pgmigrate.discovery._ledger_table import split_table
from pytest_pgmigrate.discovery.folders import load_history
from pytest_pgmigrate.discovery.record import read_record
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.migration import History, Recorded
from tests.fix_cluster import dsn as cluster_dsn

if TYPE_CHECKING:
    from pytest_pgmigrate.model.cluster import Cluster

SHA = "cd" * 32


@pytest.fixture
def history(tmp_path: Path) -> History:
    for number in (1, 2, 3):
        (tmp_path / f"{number:06}_x.up.sql").write_text("SELECT 1;")
    return load_history(tmp_path, tmp_path)


@pytest.fixture
def dsn(any_cluster: Cluster) -> str:
    return cluster_dsn(any_cluster)


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ledger_test")
        yield connection
        connection.execute("DROP SCHEMA ledger_test CASCADE; DROP TABLE IF EXISTS public.schema_migrations")


Connection = psycopg.Connection[tuple[object, ...]]


def test_a_ledger_table(connection: Connection, dsn: str, history: History) -> None:
    connection.execute(
        "CREATE TABLE ledger_test.runs (id serial, version text, filename text, checksum text, "
        "applied_at timestamptz DEFAULT '2024-01-02 03:04:05+00', execution_time_ms int, success boolean)"
    )
    connection.execute(
        f"INSERT INTO ledger_test.runs (version, filename, checksum, success) VALUES "
        f"('1', '000001_x.up.sql', '{SHA}', true), ('2', NULL, NULL, false)"
    )
    found = read_record(f"{dsn}#ledger_test.runs", history)
    assert found.source == "ledger"
    assert found.detail.startswith("ledger_test.runs on ")
    first, second = found.rows
    assert (first.version, first.filename, first.checksum, first.success) == ("000001", "000001_x.up.sql", SHA, True)
    assert first.applied_at is not None
    assert first.applied_at.startswith("2024-01-02")
    assert second == Recorded("000002", None, None, second.applied_at, success=False)


def test_the_default_table_as_golang_migrate_makes_it(connection: Connection, dsn: str, history: History) -> None:
    connection.execute(
        "CREATE TABLE public.schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)"
    )
    connection.execute("INSERT INTO public.schema_migrations VALUES (2, false)")
    assert [row.version for row in read_record(dsn, history).rows] == ["000001", "000002"]


def test_key_value_dsn_and_quoted_names(connection: Connection, dsn: str, history: History) -> None:
    connection.execute('CREATE TABLE ledger_test."Odd Name" (version bigint)')
    connection.execute('INSERT INTO ledger_test."Odd Name" VALUES (3)')
    info = connection.info
    value = f"host={info.host} port={info.port} user={info.user} dbname={info.dbname} password={info.password}"
    assert [r.version for r in read_record(f'{value}#ledger_test."Odd Name"', history).rows] == ["000003"]


def test_nothing_can_be_written(connection: Connection, dsn: str, history: History) -> None:
    connection.execute("CREATE TABLE ledger_test.seen (n int)")
    connection.execute(
        "CREATE FUNCTION ledger_test.write() RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO ledger_test.seen VALUES (1); RETURN '1'; END $$"
    )
    connection.execute("CREATE VIEW ledger_test.trap AS SELECT ledger_test.write() AS version")
    with pytest.raises(UsageError, match="read-only transaction"):
        read_record(f"{dsn}#ledger_test.trap", history)
    assert connection.execute("SELECT count(*) FROM ledger_test.seen").fetchone() == (0,)


def test_a_table_that_cannot_be_used(connection: Connection, dsn: str, history: History) -> None:
    connection.execute("CREATE TABLE ledger_test.other (id int)")
    with pytest.raises(UsageError, match=r"ledger_test\.other has no column version \(it has id\)"):
        read_record(f"{dsn}#ledger_test.other", history)
    with pytest.raises(UsageError, match="does not exist"):
        read_record(f"{dsn}#ledger_test.nothing", history)


def test_no_password_is_shown(connection: Connection, dsn: str, history: History) -> None:
    secret = "s3cret-pass"
    # The role, the database and the option carry the secret too, so that the server quotes it back.
    wrong = re.sub(r"//[^@]*@", f"//{secret}:{secret}@", dsn)
    for value in (
        wrong,
        f"{wrong}&nonsense={secret}",
        f"password={secret} oops {secret}",
        f"postgresql://u:{secret}@[::1/x",
    ):
        with pytest.raises(UsageError) as caught:
            read_record(value, history)
        assert secret not in str(caught.value)
        assert caught.value.__suppress_context__


def test_nobody_answers(history: History, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read public\.schema_migrations on .*: connection"):
        read_record(f"host={tmp_path} dbname=x connect_timeout=2", history)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("postgresql://h/d", ("postgresql://h/d", "public", "schema_migrations")),
        ("postgresql://h/d#app.runs", ("postgresql://h/d", "app", "runs")),
        ("postgresql://h/d#Runs", ("postgresql://h/d", "public", "runs")),
        ('postgresql://h/d#"App"."R""s"', ("postgresql://h/d", "App", 'R"s')),
        ("postgresql://u:a#b.c@h/d", ("postgresql://u:a#b.c@h/d", "public", "schema_migrations")),
        ("host=h password=a#b", ("host=h password=a#b", "public", "schema_migrations")),
        ("host=h dbname=d #app.runs", ("host=h dbname=d", "app", "runs")),
    ],
)
def test_the_table_behind_the_dsn(value: str, expected: tuple[str, str, str]) -> None:
    assert split_table(value) == expected


def test_what_follows_the_mark_must_be_a_table() -> None:
    with pytest.raises(UsageError, match="is not a table name"):
        split_table("postgresql://h/d#a; DROP TABLE x")
