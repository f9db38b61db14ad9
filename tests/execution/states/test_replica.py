"""The replica, caught up, holds the same; and when it does not, the difference is named."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.execution.states import StateReader
from pytest_pgmigrate.model.cluster import Cluster
from tests.execution.states.schema import MUTATIONS, SCHEMA


def test_replica_equals_the_primary_after_every_change(
    cluster: Cluster, session: psycopg.Connection[Any], database: str, reader: StateReader
) -> None:
    for statement in SCHEMA.split(";\n"):
        session.execute(statement.encode())
    reader.read()
    cluster.wait_for_replica()
    assert not reader.compare_replica()
    for mutation in MUTATIONS[5:60]:
        session.execute("reset search_path")
        for statement in mutation.format(database=database).split("; "):
            session.execute(statement.encode())
        reader.read()
        cluster.wait_for_replica()
        difference = reader.compare_replica()
        assert not difference, (mutation, difference)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("alter table t add column extra int", "column public.t.extra: missing"),
        ("create index t_v on t (v)", "index public.t_v: missing"),
        ("alter schema public rename to common", "schema common: missing"),
        ("update t set v = 'y' where id = 2", "public.t"),
        ("create function f() returns int language sql as 'select 1'", "function public.f(): missing"),
    ],
)
def test_replica_that_lags_is_told(
    cluster: Cluster, session: psycopg.Connection[Any], reader: StateReader, change: str, expected: str
) -> None:
    session.execute("create table t (id int primary key, v text); insert into t values (1, 'a'), (2, 'b')")
    reader.read()
    cluster.wait_for_replica()
    assert not reader.compare_replica()
    with cluster.pause_replay():
        session.execute(change.encode())
        reader.read()
        difference = reader.compare_replica()
    shown = [str(c) for c in difference.objects] + [c.table for c in difference.tables]
    assert expected in shown
    cluster.wait_for_replica()
    reader.read()
    session.execute("create schema again")
    reader.read()
    cluster.wait_for_replica()
    assert not reader.compare_replica()


@pytest.fixture
def compared(cluster: Cluster, session: psycopg.Connection[Any], reader: StateReader) -> StateReader:
    """A reader that compared the replica once, and has read a change since."""
    session.execute("create table t (id int primary key, v text); insert into t values (1, 'a')")
    reader.read()
    cluster.wait_for_replica()
    assert not reader.compare_replica()
    return reader


def test_replica_asked_ahead_and_caught_up(
    cluster: Cluster, session: psycopg.Connection[Any], compared: StateReader
) -> None:
    session.execute("alter table t add column n int; update t set v = 'b'")
    compared.read()
    cluster.wait_for_replica()
    compared.ask_replica()
    # What a failing second run does: written, replayed, and never seen.
    with pytest.raises(psycopg.errors.DuplicateColumn):
        session.execute("begin; create table u (id int); alter table t add column n int; commit")
    session.execute("rollback")
    difference = compared.try_replica()
    assert difference is not None
    assert not difference


def test_replica_asked_ahead_too_early_is_asked_again(
    cluster: Cluster, session: psycopg.Connection[Any], compared: StateReader
) -> None:
    with cluster.pause_replay():
        session.execute("alter table t add column n int; update t set v = 'b'")
        compared.read()
        compared.ask_replica()
        assert compared.try_replica() is None
        compared.ask_replica()
    cluster.wait_for_replica()
    difference = compared.try_replica()
    assert difference is not None
    assert not difference


def test_answer_of_the_replica_does_not_count_for_a_later_state(
    cluster: Cluster, session: psycopg.Connection[Any], compared: StateReader
) -> None:
    session.execute("alter table t add column n int")
    compared.read()
    cluster.wait_for_replica()
    compared.ask_replica()
    with cluster.pause_replay():
        session.execute("alter table t add column later int")
        compared.read()
        assert compared.try_replica() is None
        assert "column public.t.later: missing" in map(str, compared.compare_replica().objects)
    cluster.wait_for_replica()
    compared.read()
    assert not compared.compare_replica()
