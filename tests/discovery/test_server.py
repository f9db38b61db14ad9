"""The splitter beside the server: what is one statement here must be one there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from pytest_pgmigrate.discovery.sql.lexer import lex
from tests.discovery.statements_by_kind import KINDS
from tests.discovery.test_lexer import WHOLE
from tests.fix_cluster import dsn

if TYPE_CHECKING:
    from pytest_pgmigrate.model.cluster import Cluster

MULTIPLE = b"cannot insert multiple commands"


def test_every_statement_is_one_command(any_cluster: Cluster) -> None:
    with psycopg.connect(dsn(any_cluster), autocommit=True) as connection:

        def parse(sql: str) -> tuple[bytes, bytes]:
            result = connection.pgconn.prepare(b"", sql.encode())
            state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b""
            return state, result.error_message

        assert MULTIPLE in parse("SELECT 1; SELECT 2")[1]
        text = ";\n".join([*WHOLE.values(), *KINDS])
        statements = [text[s.start : s.end] for s in lex(text).statements]
        assert len(statements) == len(WHOLE) + len(KINDS)
        for statement in statements:
            state, message = parse(statement)
            assert MULTIPLE not in message, statement
            # 42601 would mean that the cut left half a statement; 18 knows more syntax than the oldest server.
            newer = "NOT NULL a" in statement or "0x1F" in statement
            assert state != b"42601" or newer, (statement, message)


@pytest.mark.parametrize(
    ("literal", "value"), [("E'a' -- note\n '\\';'", "a';"), ("'a'\n'b'", "ab"), ("E'a'\n'\\''", "a'")]
)
def test_continued_literals(any_cluster: Cluster, literal: str, value: str) -> None:
    with psycopg.connect(dsn(any_cluster)) as connection:
        assert connection.execute(f"SELECT {literal}").fetchone() == (value,)
    assert len(lex(f"SELECT {literal};").statements) == 1
