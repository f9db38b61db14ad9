"""What is asked before WAL has told what to ask: a wrong guess, or a change in between, costs time and no difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.execution.states import Ran, StateReader, compare
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.state import ObjectKey, State

TABLE = "create table {} (id bigint generated always as identity primary key, name text not null default 'x')"
RAN = Ran("create table", frozenset({"made"}))


@pytest.fixture
def reader(reader: StateReader, session: psycopg.Connection[Any], cluster: Cluster) -> StateReader:
    """A reader that knows what a CREATE TABLE writes."""
    reader.read()
    for number in range(3):
        session.execute(TABLE.format(f"known{number}").encode())
        reader.read(RAN)
    return reader


def _table(name: str) -> ObjectKey:
    return ObjectKey("table", f"public.{name}")


def test_guess_that_comes_true_gives_the_same_as_a_fresh_read(
    session: psycopg.Connection[Any], reader: StateReader, fresh: Callable[[], State]
) -> None:
    for number in range(20):
        session.execute(TABLE.format(f"t{number}").encode())
        reader.prepare(RAN)
        reader.ask(RAN)
        assert not compare(fresh(), reader.read(RAN)), number


def test_guess_that_does_not_come_true(
    session: psycopg.Connection[Any], reader: StateReader, fresh: Callable[[], State]
) -> None:
    """Everything is said to be one more CREATE TABLE, and is something else."""
    for statement in (
        "create type mood as enum ('sad', 'happy')",
        "comment on table known0 is 'first'",
        "alter table known1 rename column name to title",
        "create view v as select title from known1",
        "drop table known2",
        "create role states_alice",
        "grant select on known0 to states_alice",
        "insert into known0 (name) values ('a'), ('b')",
        "select setval('known0_id_seq', 70)",
        "create function f() returns int language sql as 'select 1'",
        "select lo_create(7)",
        "vacuum full pg_class",
        "alter table known0 alter column name type varchar(20)",
        "create schema other; alter table known0 set schema other",
    ):
        session.execute(statement.encode())
        reader.prepare(RAN)
        reader.ask(RAN)
        assert not compare(fresh(), reader.read(RAN)), statement


def test_change_after_the_rows_were_read_and_before_the_wal_was(
    session: psycopg.Connection[Any], reader: StateReader, fresh: Callable[[], State]
) -> None:
    """The rows read too early do not count, or the change would never be seen: WAL is looked at once."""
    for number in range(5):
        reader.prepare(RAN)
        reader._line.send()
        reader._line.take_in()
        session.execute(TABLE.format(f"t{number}").encode())
        state = reader.read(RAN)
        assert _table(f"t{number}") in state.objects
        assert not compare(fresh(), state)


def test_transaction_open_while_rows_were_read_ahead(
    cluster: Cluster, database: str, reader: StateReader, fresh: Callable[[], State]
) -> None:
    """What it wrote lies in the WAL that was looked at, and is not to be seen before it ends."""
    with cluster.connect(database, autocommit=False) as writer:
        writer.execute(TABLE.format("made").encode())
        assert _table("made") not in reader.read(RAN).objects
        writer.commit()
        assert _table("made") in reader.read(RAN).objects
    assert not compare(fresh(), reader.read(RAN))


def test_change_after_everything_was_asked(
    session: psycopg.Connection[Any], reader: StateReader, fresh: Callable[[], State]
) -> None:
    reader.ask(RAN)
    reader._line.take_in()
    session.execute(TABLE.format("made").encode())
    reader.read(RAN)  # as it was then, or as it is now
    assert _table("made") in reader.read(RAN).objects
    assert not compare(fresh(), reader.read(RAN))
