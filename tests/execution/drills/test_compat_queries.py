"""The user's queries before they are sent: where they are read from, and whose values their parameters get."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pgmigrate.execution.blocking import read_queries
from pytest_pgmigrate.execution.blocking.parameters import numbered
from pytest_pgmigrate.execution.compat.attempts import literal
from pytest_pgmigrate.execution.compat.user_queries import parameter_columns


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("SELECT 1 FROM users WHERE email = :email", {1: ("email", "stored")}),
        ('SELECT 1 FROM users u WHERE u.id > $2 AND $1 <= u."Age"', {1: ("Age", "stored"), 2: ("id", "stored")}),
        ("SELECT 1 FROM users WHERE id = ANY (%s) LIMIT %s", {1: ("id", "any"), 2: ("", "count")}),
        (
            "SELECT 1 FROM users WHERE name ILIKE $1 AND status IN ($2, $3)",
            {1: ("name", "stored"), 2: ("status", "stored")},
        ),
        ("UPDATE users SET name = %(name)s WHERE id = %(id)s", {1: ("name", "stored"), 2: ("id", "stored")}),
        (
            'INSERT INTO users (email, "Age", at) VALUES (%s, %s, now()) RETURNING id',
            {1: ("email", "fresh"), 2: ("Age", "fresh")},
        ),
        ("SELECT 1 FROM users WHERE at > now() - $1::interval", {}),
    ],
)
def test_parameters_know_their_columns(query: str, columns: dict[int, tuple[str, str]]) -> None:
    assert parameter_columns(numbered(query)[0]) == columns


@pytest.mark.parametrize(
    ("value", "sql"),
    [(None, "NULL"), ("it's", "'it''s'"), ("a\\b'c", "E'a\\\\b''c'"), ("", "''")],
)
def test_values_are_written_so_that_nothing_in_them_is_sql(value: str | None, sql: str) -> None:
    assert literal(value) == sql


def test_a_capture_holds_what_the_application_sent(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(
        'query,calls\nBEGIN,3\n"SELECT id\nFROM users WHERE email = $1",7\nCREATE TABLE t (),1\n'
        '"INSERT INTO users (email) VALUES ($1)",2\nSELECT oid FROM pg_class,1\n'
    )
    (tmp_path / "c.csv").write_text("sql\nSELECT 1\n")
    (tmp_path / "a.sql").write_text("SELECT 2;\n")
    (tmp_path / "d.txt").write_text("SELECT 3;\n")
    found = read_queries([tmp_path])
    assert [(Path(q.file).name, q.line, q.sql[:11], q.problem) for q in found] == [
        ("a.sql", 1, "SELECT 2;\n", ""),
        ("b.csv", 3, "SELECT id\nF", ""),
        ("b.csv", 6, "INSERT INTO", ""),
        ("c.csv", 1, "sql\nSELECT ", "its first line names no column query"),
    ]
