"""Parameters are found where the server would see them, and nowhere else."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.execution.blocking.parameters import numbered


@pytest.mark.parametrize(
    ("sql", "text", "count"),
    [
        ("SELECT $1, $2, $1", "SELECT $1, $2, $1", 2),
        ("SELECT :a, :b, :a", "SELECT $1, $2, $1", 2),
        ("SELECT :a, $2", "SELECT $3, $2", 3),
        ("SELECT %(a)s, %s, %s", "SELECT $1, $2, $3", 3),
        ("SELECT a::int, b[1:2], ':x', \":y\", $$ :z $1 $$, $t$ $$ :w $t$", None, 0),
        ("SELECT 1 -- :a\n/* $1 */", None, 0),
        (r"SELECT E'\' :a', a$1, 'it''s :b'", None, 0),
        ("SELECT a LIKE '%s'", None, 0),
    ],
)
def test_parameters(sql: str, text: str | None, count: int) -> None:
    assert numbered(sql) == (text or sql, count)
