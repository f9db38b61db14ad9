"""Every change of rows is seen and the right columns are named; taken back, nothing is left of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.execution.states import StateReader, compare, locate
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.state import State
from tests.execution.states.data_mutations import MUTATIONS, SCHEMA, XML, Mutation


@pytest.fixture(autouse=True)
def _schema(session: psycopg.Connection[Any]) -> None:
    session.execute(SCHEMA.encode())


def named(before: State, after: State) -> list[tuple[str, tuple[str, ...]]]:
    """The tables and columns that a comparison names, sequences by their names."""
    difference = compare(before, after)
    tables = [(change.table, change.columns) for change in difference.tables]
    return tables + [(change.name, ()) for change in difference.sequences]


def expected(mutation: Mutation) -> tuple[str, tuple[str, ...]]:
    return mutation.table, mutation.columns


def test_every_change_is_seen_and_its_columns_are_named(
    session: psycopg.Connection[Any], reader: StateReader, fresh: Callable[[], State]
) -> None:
    """By WAL, and by a reader that knows nothing; one change after the other, each taken back."""
    wrong: list[tuple[object, ...]] = []
    assert len(MUTATIONS) >= 40
    before, full = reader.read(), fresh()
    for mutation in MUTATIONS:
        session.execute(mutation.do.encode())
        seen, also = named(before, reader.read()), named(full, fresh())
        if expected(mutation) not in seen or expected(mutation) not in also:
            wrong.append((mutation.do, seen, also))
        session.execute(mutation.undo.encode())
        left = named(before, reader.read())
        if left:
            wrong.append((mutation.undo, left))
    assert not named(full, fresh())
    assert not wrong


def test_xml(session: psycopg.Connection[Any], reader: StateReader) -> None:
    *prepare, mutation = XML
    assert isinstance(mutation, Mutation)
    try:
        session.execute("select '<a/>'::xml")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL was built without XML")
    for statement in prepare:
        session.execute(str(statement).encode())
    before = reader.read()
    session.execute(mutation.do.encode())
    assert named(before, reader.read()) == [expected(mutation)]


def test_the_row_is_shown_with_both_values(
    cluster: Cluster, database: str, session: psycopg.Connection[Any], reader: StateReader
) -> None:
    """Of every change of one value in one row: table, key, column, old and new."""
    session.close()
    reader.pause()
    pristine = cluster.create_database("pristine", template=database)
    wrong: list[tuple[object, ...]] = []
    try:
        with cluster.connect(pristine) as old, cluster.connect(database) as new:
            for mutation in (m for m in MUTATIONS if m.do.endswith("where id = 7")):
                new.execute(mutation.do.encode())
                change = locate(old, new, mutation.table)
                new.execute(mutation.undo.encode())
                [row] = change.rows
                (was, now), *more = row.values.values()
                if (row.key, tuple(row.values), change.columns, more) != (
                    {"id": "7"},
                    mutation.columns,
                    mutation.columns,
                    [],
                ) or was == now:
                    wrong.append((mutation.do, change))
    finally:
        cluster.drop_database(pristine)
    assert not wrong
