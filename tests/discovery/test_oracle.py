"""The splitter and the classifier beside libpg_query, PostgreSQL's own parser as a library."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_pgmigrate.discovery.sql.classify import classify
from pytest_pgmigrate.discovery.sql.cursor import Cursor
from pytest_pgmigrate.discovery.sql.lexer import lex
from tests.discovery.statements_by_kind import KINDS
from tests.discovery.test_lexer import WHOLE

postgast = pytest.importorskip("postgast")

# The library's scanner makes tokens of comments and so breaks a continued literal off; the server does not
# (test_server.py).
DEVIATES = ("continued over a comment",)

TEXTS = {
    **{n: f"/* é */ SELECT 0;\n\n{sql} ;; -- ü;\n SELECT 9;\n" for n, sql in WHOLE.items() if n not in DEVIATES},
    "blank": "  \n-- nothing\n/* at all */ ;",
    "no last semicolon": "SELECT 1;\r\nSELECT 'ä'",
    "all kinds": ";\n".join(KINDS),
}


def spans_of_the_parser(text: str) -> list[tuple[int, str]]:
    raw = text.encode()
    found = []
    for statement in postgast.parse(text).stmts:
        start = statement.stmt_location
        end = start + statement.stmt_len if statement.stmt_len else len(raw)
        # The parser counts bytes, and white space in front of the semicolon belongs to its statement.
        found.append((len(raw[:start].decode()), raw[start:end].decode().rstrip()))
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_statements_are_where_the_parser_sees_them(name: str) -> None:
    text = TEXTS[name]
    assert [(s.start, text[s.start : s.end]) for s in lex(text).statements] == spans_of_the_parser(text)


def node(sql: str) -> str:
    parsed: Any = postgast.parse(sql).stmts[0].stmt
    return str(parsed.WhichOneof("node"))


@pytest.mark.parametrize("sql", KINDS)
def test_kinds_named_like_a_node_are_that_node(sql: str) -> None:
    (kind, *_) = classify(Cursor(sql, lex(sql).statements[0].tokens))
    found = node(sql)
    if kind.endswith("_stmt"):
        assert kind == found
    else:
        assert found == UPPER_CASE_NODES[kind.split(":")[0].split(" ")[0]] or found in SPECIAL_NODES[kind]


UPPER_CASE_NODES = {
    "TXN": "transaction_stmt",
    "SET": "variable_set_stmt",
    "RESET": "variable_set_stmt",
    "VACUUM": "vacuum_stmt",
    "ANALYZE": "vacuum_stmt",
    "REINDEX": "reindex_stmt",
    "REFRESH": "refresh_mat_view_stmt",
    "COMMENT": "comment_stmt",
    "GRANT": "grant_stmt",
    "REVOKE": "grant_stmt",
    "CREATE": "create_stmt",
    "DEFINE": "define_stmt",
    "DROP": "drop_stmt",
    "ALTER": "alter_table_stmt",
    "RENAME": "rename_stmt",
    "OWNER": "alter_owner_stmt",
    "DISCARD": "discard_stmt",
}
SPECIAL_NODES: dict[str, tuple[str, ...]] = {
    "CREATE TABLE AS": ("create_table_as_stmt",),
    "CREATE MATVIEW AS": ("create_table_as_stmt",),
    "CREATE INDEX": ("index_stmt",),
    "CREATE UNIQUE INDEX": ("index_stmt",),
    "CREATE INDEX CONCURRENTLY": ("index_stmt",),
    "CREATE UNIQUE INDEX CONCURRENTLY": ("index_stmt",),
    "CREATE FUNCTION": ("create_function_stmt",),
    "CREATE FUNCTION (sql_body)": ("create_function_stmt",),
    "CREATE PROCEDURE": ("create_function_stmt",),
    "CREATE DATABASE": ("createdb_stmt",),
    "DROP DATABASE": ("dropdb_stmt",),
    "CREATE TABLESPACE": ("create_table_space_stmt",),
    "DROP TABLESPACE": ("drop_table_space_stmt",),
    "ALTER SYSTEM": ("alter_system_stmt",),
    "ALTER DATABASE SET TABLESPACE": ("alter_database_stmt",),
    "ALTER TYPE ADD VALUE": ("alter_enum_stmt",),
    "ALTER TYPE RENAME VALUE": ("alter_enum_stmt",),
    "SET SCHEMA TABLE": ("alter_object_schema_stmt",),
    "SET SCHEMA TYPE": ("alter_object_schema_stmt",),
    "SET SCHEMA FUNCTION": ("alter_object_schema_stmt",),
    "SET SCHEMA EXTENSION": ("alter_object_schema_stmt",),
}
