"""Kinds of statements."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.discovery.sql.classify import classify
from pytest_pgmigrate.discovery.sql.cursor import Cursor
from pytest_pgmigrate.discovery.sql.lexer import lex
from tests.discovery.statements_by_kind import KINDS


def kinds(text: str) -> tuple[str, ...]:
    return classify(Cursor(text, lex(text).statements[0].tokens))


@pytest.mark.parametrize("text", KINDS)
def test_kind(text: str) -> None:
    assert kinds(text) == KINDS[text]


@pytest.mark.parametrize("text", list(KINDS))
def test_case_comments_and_line_breaks_do_not_matter(text: str) -> None:
    assert kinds(" /* x */\n".join(text.lower().split(" "))) == KINDS[text]


@pytest.mark.parametrize(
    "text", ["FROBNICATE t", "CREATE GADGET g", "ALTER GADGET g", "DROP GADGET g", "'x'", "?", "123"]
)
def test_the_unknown_is_named_so(text: str) -> None:
    [kind] = kinds(text)
    assert kind.startswith("?")


@pytest.mark.parametrize(
    "word", ["CREATE", "ALTER", "DROP", "ALTER TABLE", "ALTER TABLE t", "CREATE TABLE", "WITH", "REINDEX ("]
)
def test_a_statement_that_breaks_off_is_no_error(word: str) -> None:
    assert kinds(word)


def test_a_quoted_name_is_no_keyword() -> None:
    assert kinds('ALTER TABLE "RENAME" ADD COLUMN "DEFAULT" int') == ("ALTER TABLE: AddColumn (plain)",)
    assert kinds('CREATE INDEX "CONCURRENTLY" ON t (a)') == ("CREATE INDEX",)
