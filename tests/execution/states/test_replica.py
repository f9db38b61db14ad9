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
