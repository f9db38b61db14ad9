"""Every migration's statement against every application's statement: what is predicted to wait is what waits."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from pytest_pgmigrate.execution.blocking import AppQuery, Blocking
from tests.execution.blocking.conftest import Connection, Hold, MakeBlocking
from tests.execution.blocking.schema import TABLES
from tests.execution.blocking.statements import DDL, DML, QUERIES

pytestmark = pytest.mark.usefixtures("shop")

# Tables without rows: their statements write nothing, so what their foreign keys lock cannot be shown.
EMPTY = ("public.events_old", "public.empty_one")


def waits(connection: Connection, sql: str) -> bool:
    """Whether a statement waits for a relation, found without any of the code under test."""
    connection.execute(
        "BEGIN; SET LOCAL lock_timeout = '15ms'; SET LOCAL lc_messages = 'C'; SET CONSTRAINTS ALL IMMEDIATE"
    )
    try:
        connection.execute(sql.encode())
    except psycopg.errors.LockNotAvailable as error:
        # Waiting for a row that the migration wrote is another matter: no relation lock is in the way.
        return "tuple (" not in (error.diag.context or "")
    finally:
        connection.execute("ROLLBACK; DISCARD PLANS")
    return False


def queries() -> tuple[AppQuery, ...]:
    return tuple(AppQuery(name, sql, f"{name}.sql") for name, sql in QUERIES.items())


def wrong_cells(blocking: Blocking, hold: Hold, other: Connection, migration: str) -> tuple[list[str], int, int]:
    """Cells in which prediction, try and truth are not the same; how many cells there were; how many of them wait."""
    with hold(migration) as (held, names):
        predicted = {b.label for b in blocking.at_hold(held, names, try_them=False)}
        tried = {b.label: b.tried for b in blocking.at_hold(held, names, try_them=True)}
        truth = {s.label: waits(other, s.sql) for s in blocking.statements}
    unshown = {s.label for s in blocking.statements if s.table in EMPTY and tried.get(s.label, False) is None}
    cells = [s.label for s in blocking.statements if s.label not in unshown]
    wrong = [
        f"{migration}: {label}: predicted {label in predicted}, tried {tried.get(label, False)}, true {truth[label]}"
        for label in cells
        if not (label in predicted) == tried.get(label, False) == truth[label]
    ]
    return wrong, len(cells), sum(truth[label] for label in cells)


def test_predicted_is_tried_is_true_in_every_cell(
    make_blocking: MakeBlocking, hold: Hold, connect: Callable[[], Connection]
) -> None:
    blocking, other = make_blocking(*queries()), connect()
    blocking.prepare(TABLES)
    wrong: list[str] = []
    cells = waiting = 0
    for migration in (*DDL, *DML):
        found, count, blocked = wrong_cells(blocking, hold, other, migration)
        wrong, cells, waiting = wrong + found, cells + count, waiting + blocked

    print(
        f"{len(DDL) + len(DML)} x {len(blocking.statements)} statements: {cells} cells, {waiting} wait, {len(wrong)} wrong"
    )
    assert wrong == []
    assert len(DDL) >= 30
    assert len(blocking.statements) >= 20
    assert cells > waiting > 500
