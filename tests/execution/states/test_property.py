"""Whatever the steps, the state kept up to date equals the state read from nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.execution.states import StateReader, compare
from pytest_pgmigrate.model.state import State
from tests.execution.states.steps import START, Steps


@pytest.mark.parametrize("seed", [1, 2])
def test_incremental_equals_full(
    seed: int, session: psycopg.Connection[Any], reader: StateReader, make_reader: Callable[..., StateReader]
) -> None:
    check(session, reader, make_reader(exclude_schemas=("pgmigrate", "hidden"), use_wal=False), seed, 150)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_incremental_equals_full_for_long(
    seed: int, session: psycopg.Connection[Any], reader: StateReader, make_reader: Callable[..., StateReader]
) -> None:
    check(session, reader, make_reader(exclude_schemas=("pgmigrate", "hidden"), use_wal=False), seed, 600)


@pytest.fixture
def reader(make_reader: Callable[..., StateReader]) -> StateReader:
    return make_reader(exclude_schemas=("pgmigrate", "hidden"))


def check(session: psycopg.Connection[Any], reader: StateReader, other: StateReader, seed: int, count: int) -> None:
    """Run steps; after each read what changed, after some read everything and compare."""
    session.execute("create schema hidden; set client_min_messages = error")
    for statement in START.split(";\n"):
        session.execute(statement.encode())
    for number in range(8):
        session.execute(f"create table t{number} (c0 int primary key, c1 text, c2 bigserial, c3 text)".encode())
    steps = Steps(seed)
    done: list[str] = []
    worked = 0
    reader.read()
    for number in range(count):
        step = steps.next()
        worked += perform(session, step)
        done.append(step)
        if steps.random.random() < 0.7:
            reader.read()
        if number % 3 == 0:
            state = reader.read()
            other.close()
            full = other.read()
            assert full == state, (seed, number, done[-4:], shown(full, state))
    assert worked > count / 5


def perform(session: psycopg.Connection[Any], step: str) -> bool:
    """Run a step as far as it goes; a failed one leaves no transaction open."""
    try:
        for statement in step.split("; ") if step.startswith("begin") else [step]:
            session.execute(statement.encode())
    except psycopg.Error:
        with suppress(psycopg.Error):
            session.execute("rollback")
        return False
    return True


def shown(old: State, new: State) -> list[str]:
    difference = compare(old, new)
    sequences = [name for name in old.sequences if old.sequences[name] != new.sequences.get(name)]
    return [str(change) for change in (*difference.objects, *difference.tables, *sequences)][:5]
