"""Results are read to the end, whatever the script, the server or the user do meanwhile."""

from __future__ import annotations

import signal
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from pytest_pgmigrate.execution.database import Database
from pytest_pgmigrate.execution.send import send


@pytest.fixture
def session(database: Database) -> psycopg.Connection[Any]:
    return database.session


def test_text_larger_than_what_the_socket_takes(database: Database, session: psycopg.Connection[Any]) -> None:
    answer = send(session, f"create table t as select length('{'x' * 20_000_000}') n")
    assert answer.tags == ("SELECT 1",)
    assert database.control.execute("select n from t").fetchall() == [(20_000_000,)]


def test_answer_larger_than_what_the_socket_takes(session: psycopg.Connection[Any]) -> None:
    answer = send(session, "select repeat('x', 1000) from generate_series(1, 20000); select 1")
    assert answer.tags == ("SELECT 20000", "SELECT 1")
    assert session.info.transaction_status is TransactionStatus.IDLE


def test_connection_lost_while_waiting(session: psycopg.Connection[Any]) -> None:
    answer = send(session, "select 1; select pg_terminate_backend(pg_backend_pid()); select 2")
    assert answer.failed
    assert session.closed
    assert send(session, "select 1").lost


def test_interrupt_ends_the_statement_on_the_server(database: Database, session: psycopg.Connection[Any]) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            # The statement's own time-out of 7 s would end it with another error than a cancelled one's.
            send(session, "set statement_timeout = 0; select pg_sleep(20)")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
    # libpq waits here for what the server says in the end.
    result = session.pgconn.get_result()
    while result is not None and not result.error_message:
        result = session.pgconn.get_result()
    assert result is not None
    assert b"canceling statement due to user request" in result.error_message
