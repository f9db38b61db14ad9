"""Every change is seen, no edit there and back is reported, and reading what changed equals reading everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.execution.states import StateReader, compare
from pytest_pgmigrate.model.state import Difference, State
from tests.execution.states.schema import MUTATIONS, SCHEMA, THERE_AND_BACK


@pytest.fixture(autouse=True)
def _schema(session: psycopg.Connection[Any]) -> None:
    for statement in SCHEMA.split(";\n"):
        session.execute(statement.encode())


def run(session: psycopg.Connection[Any], script: str, database: str) -> None:
    session.execute("reset search_path")
    for statement in script.replace("/*wait*/", "").format(database=database).split("; "):
        session.execute(statement.encode())


def seen(difference: Difference) -> bool:
    return bool(difference) or bool(difference.sequences)


def shown(difference: Difference) -> list[str]:
    return [str(change) for change in (*difference.objects, *difference.tables, *difference.roles)][:5]


def test_every_change_is_seen(
    session: psycopg.Connection[Any], database: str, reader: StateReader, fresh: Callable[[], State]
) -> None:
    unseen, wrong = [], []
    before = reader.read()
    for mutation in MUTATIONS:
        if "phone set not null" in mutation:
            session.execute("update users set phone = '1'")
            before = reader.read()
        run(session, mutation, database)
        after = reader.read()
        if not seen(compare(before, after)):
            unseen.append(mutation)
        before = after
        other = fresh()
        if other != after:
            wrong.append((mutation, shown(compare(other, after))))
    assert not unseen
    assert not wrong


def test_there_and_back_is_no_difference(
    session: psycopg.Connection[Any], database: str, reader: StateReader, fresh: Callable[[], State]
) -> None:
    wrong = []
    before = reader.read()
    for edit in THERE_AND_BACK:
        run(session, edit, database)
        after = reader.read()
        difference = compare(before, after)
        if difference:
            wrong.append((edit, shown(difference)))
        assert fresh() == after, edit
        before = after
    assert not wrong


def test_there_and_back_seen_in_between(session: psycopg.Connection[Any], database: str, reader: StateReader) -> None:
    """Reading between the two halves must neither hide the first nor leave a trace of it."""
    wrong = []
    for edit in THERE_AND_BACK[:17]:
        before = reader.read()
        for statement in edit.split("; "):
            session.execute(statement.encode())
            reader.read()
        difference = compare(before, reader.read())
        if difference:
            wrong.append((edit, shown(difference)))
    assert not wrong
