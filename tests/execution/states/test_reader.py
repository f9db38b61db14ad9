"""What the reader promises beside seeing changes: what it may skip, what it survives, what it says when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.errors import ExecutionError
from pytest_pgmigrate.execution.states import StateReader, compare, read_roles
from pytest_pgmigrate.execution.states.wal import WalOracle
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.state import ObjectKey, SequenceValue, State

USERS = (
    "create table users (id serial primary key, name text);"
    " insert into users (name) select 'n' || i from generate_series(1, 9) i"
)


def test_last_is_what_was_read(session: psycopg.Connection[Any], reader: StateReader) -> None:
    assert reader.last is None
    state = reader.read()
    session.execute("create table later ()")
    assert reader.last is state
    assert ObjectKey("table", "public.later") in reader.read().objects
    assert ObjectKey("table", "public.later") not in state.objects


def test_nothing_written_reads_nothing_again(session: psycopg.Connection[Any], reader: StateReader) -> None:
    session.execute(USERS)
    first = reader.read()
    second = reader.read()
    assert second == first
    assert second.objects is first.objects
    assert second.tables is first.tables


def test_only_what_was_written_is_read_again(session: psycopg.Connection[Any], reader: StateReader) -> None:
    session.execute(USERS + "; create table other as select * from users")
    first = reader.read()
    session.execute("update other set name = 'x' where id = 1")
    second = reader.read()
    assert second.tables["public.users"] is first.tables["public.users"]
    assert second.tables["public.other"] != first.tables["public.other"]
    assert all(second.objects[key] is value for key, value in first.objects.items())


def test_columns_that_differ_are_named(session: psycopg.Connection[Any], reader: StateReader) -> None:
    session.execute("create table t (id int primary key, a int, b int); insert into t values (1, 1, 1), (2, 2, 2)")
    before = reader.read()
    session.execute("update t set b = 3 - b")
    change = compare(before, reader.read()).tables[0]
    assert change.columns == ("b",)


def test_change_committed_after_it_was_written(
    cluster: Cluster, database: str, session: psycopg.Connection[Any], reader: StateReader
) -> None:
    """Its WAL lies before the read that could not see it."""
    session.execute(USERS)
    with cluster.connect(database, autocommit=False) as writer:
        writer.execute("update users set name = 'slow' where id = 1")
        writer.execute("alter table users add column late int")
        with pytest.raises(ExecutionError, match="lock"):
            # The open ALTER TABLE keeps users from being read.
            StateReader(cluster, database, lock_timeout=0.1).read()
        writer.rollback()
        writer.execute("update users set name = 'slow' where id = 1")
        before = reader.read()
        assert reader.read() == before
        session.execute("create table meanwhile ()")
        reader.read()
        writer.commit()
    difference = compare(before, reader.read())
    assert [change.table for change in difference.tables] == ["public.users"]


def test_asynchronous_commit_is_seen(session: psycopg.Connection[Any], reader: StateReader) -> None:
    session.execute(USERS)
    before = reader.read()
    session.execute("set synchronous_commit = off")
    for number in range(20):
        session.execute(f"update users set name = 'async {number}' where id = 1")
        after = reader.read()
        assert compare(before, after).tables, number
        before = after


def test_sequence_that_moves_without_wal(session: psycopg.Connection[Any], reader: StateReader) -> None:
    session.execute("create sequence s")
    seen = [reader.read().sequences["public.s"]]
    for _ in range(40):
        session.execute("select nextval('s')")
        seen.append(reader.read().sequences["public.s"])
    assert [value.last_value for value in seen] == [1, *range(1, 41)]
    assert [value.is_called for value in seen] == [False, *[True] * 40]
    assert compare(State({}, {}, {"s": seen[3]}), State({}, {}, {"s": seen[5]})).sequences[0].forward


def test_sequence_set_without_having_been_called(session: psycopg.Connection[Any], reader: StateReader) -> None:
    session.execute("create sequence logged; create unlogged table u (id serial)")
    assert reader.read().sequences == {
        "public.logged": SequenceValue(1, False),
        "public.u_id_seq": SequenceValue(1, False),
    }
    session.execute("select setval('logged', 5, false), setval('u_id_seq', 6, false)")
    assert reader.read().sequences == {
        "public.logged": SequenceValue(5, False),
        "public.u_id_seq": SequenceValue(6, False),
    }


def test_excluded_schema_and_table(session: psycopg.Connection[Any], make_reader: Callable[..., StateReader]) -> None:
    session.execute(
        "create schema pgmigrate; create table pgmigrate.ledger (v int); create table schema_migrations (v serial)"
    )
    session.execute("create table kept (v int)")
    reader = make_reader(exclude_schemas=("pgmigrate",), exclude_tables=("public.schema_migrations",))
    before = reader.read()
    session.execute("insert into pgmigrate.ledger values (1); alter table pgmigrate.ledger add column w int")
    session.execute("insert into schema_migrations default values; create index on schema_migrations (v)")
    after = reader.read()
    assert after == before
    assert set(after.tables) == {"public.kept", "pg_largeobject"}
    assert not after.sequences
    assert {key.name for key in after.objects if key.kind in ("schema", "table")} == {"public", "public.kept"}


def test_table_that_cannot_be_read_is_named(session: psycopg.Connection[Any], reader: StateReader) -> None:
    session.execute("create type mood as enum ('ok'); create table odd (v mood); create table fine (v int)")
    session.execute("insert into odd values ('ok'); create materialized view never as select * from fine with no data")
    assert not reader.read().unreadable
    session.execute("delete from pg_enum where enumtypid = 'mood'::regtype")
    state = reader.read()
    assert list(state.unreadable) == ["public.odd"]
    assert "enum" in state.unreadable["public.odd"]
    assert "public.odd" not in state.tables
    assert state.tables["public.never"].count == 0
    assert state.tables["public.fine"].count == 0


@pytest.mark.parametrize(
    "script",
    [
        "create table t as select i as id, 'x' as v from generate_series(1, 5) i",
        "create table t (id int primary key, v text); insert into t values (1, 'x'); vacuum full t",
        "create unlogged table t (id int primary key); insert into t values (1); alter table t set logged",
        "create table hidden.t (id int primary key); insert into hidden.t values (1); alter table hidden.t set schema public",
        "alter table hidden.moved set schema public",
        "create extension hstore; alter table hidden.moved set schema public",
        "truncate filled; insert into filled values (7)",
        "drop materialized view view_of_filled; alter table filled alter column id type text",
        "alter table filled add column c int default 7",
        "alter table filled add column c int default (random() * 100)::int",
        "alter table filled add column c int generated always as (id * 2) stored",
        "alter table filled add column c serial",
        "create materialized view m as select * from filled",
        "refresh materialized view view_of_filled",
        "begin; alter table filled add column c int; update filled set c = 3 where id = 2; commit",
        "alter table filled add column c int; insert into filled values (90, 5)",
        "copy filled from program 'echo 99'",
        "cluster filled using filled_pkey",
        "alter table filled drop constraint filled_pkey",
        "alter table filled rename column id to key",
    ],
)
def test_digest_kept_up_to_date_is_that_of_the_rows(
    session: psycopg.Connection[Any], make_reader: Callable[..., StateReader], script: str
) -> None:
    session.execute(
        "create schema hidden; create table hidden.moved (id int primary key); insert into hidden.moved values (1)"
    )
    session.execute("create table filled (id int primary key); insert into filled select generate_series(1, 9)")
    session.execute("create materialized view view_of_filled as select id from filled with no data")
    reader = make_reader(exclude_schemas=("hidden",))
    reader.read()
    for statement in script.split("; "):
        session.execute(statement.encode())
    assert reader.read().tables == make_reader(exclude_schemas=("hidden",), use_wal=False).read().tables


def test_lost_connection_is_an_execution_error_and_the_next_read_works(
    cluster: Cluster, session: psycopg.Connection[Any], reader: StateReader
) -> None:
    session.execute(USERS)
    before = reader.read()
    pid = reader.connection.info.backend_pid
    session.execute("select pg_terminate_backend(%s, 5000)", (pid,))
    with pytest.raises(ExecutionError, match="could not be read"):
        reader.read()
    assert reader.read() == before


def test_pause_keeps_what_is_known(
    cluster: Cluster, database: str, session: psycopg.Connection[Any], reader: StateReader
) -> None:
    session.execute(USERS)
    before = reader.read()
    reader.pause()
    session.execute("update users set name = 'x' where id = 2; create index on users (name)")
    session.close()
    copy = cluster.create_database("copy", template=database)
    cluster.drop_database(copy)
    difference = compare(before, reader.read())
    assert [change.key.name for change in difference.objects] == ["public.users_name_idx"]
    assert [change.table for change in difference.tables] == ["public.users"]


def test_roles_tell_that_a_password_changed_but_not_which(
    cluster: Cluster, session: psycopg.Connection[Any], reader: StateReader
) -> None:
    session.execute("drop role if exists states_alice; create role states_alice password 'first'")
    before = reader.read()
    session.execute("alter role states_alice password 'second'")
    difference = compare(before, reader.read())
    assert [(change.key.name, change.attribute) for change in difference.roles] == [("states_alice", "password")]
    assert "second" not in str(difference)
    assert "pg_monitor" not in read_roles(session)


def test_oracle_says_nothing_of_too_much_or_recycled_wal(cluster: Cluster) -> None:
    oracle = WalOracle.open(cluster)
    assert oracle is not None
    try:
        position, touched = oracle.look(None, 1)
        assert touched is None
        assert oracle.look(position.lsn, 1)[1] is not None
        assert oracle.look("0/1", 1)[1] is None
        # A segment removed long ago, near enough to be asked for.
        assert oracle.look("0/1000028", 1)[1] is None
    finally:
        oracle.close()


def test_without_oracle_the_same(
    session: psycopg.Connection[Any], make_reader: Callable[..., StateReader], reader: StateReader
) -> None:
    plain = make_reader(exclude_schemas=("pgmigrate",), use_wal=False)
    session.execute(USERS)
    assert plain.read() == reader.read()
    session.execute(
        "alter table users add column z int default 5; update users set name = 'b' where id = 3; drop index if exists i"
    )
    assert plain.read() == reader.read()
    assert compare(plain.read(), reader.read()) == compare(reader.read(), plain.read())
