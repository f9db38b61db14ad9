"""From text to ``Statement`` objects: lexer, classifier and names put together."""

from __future__ import annotations

from pytest_pgmigrate.discovery.sql.classify import classify
from pytest_pgmigrate.discovery.sql.cursor import Cursor
from pytest_pgmigrate.discovery.sql.lexer import BOM, Lexed, LexedStatement
from pytest_pgmigrate.discovery.sql.names import names
from pytest_pgmigrate.model.migration import Chunk, Statement


def build_statements(chunk: Chunk, lexed: Lexed) -> tuple[Statement, ...]:
    """The statements of a chunk whose text was lexed before; places come from the chunk."""
    return tuple(_build(chunk, statement, index == 0) for index, statement in enumerate(lexed.statements))


def _build(chunk: Chunk, lexed: LexedStatement, first: bool) -> Statement:
    # The server takes a byte order mark for a syntax error: it stays in the first statement, also when sent one by one.
    start = 0 if first and chunk.text.startswith(BOM) else lexed.start
    found = names(Cursor(chunk.text, lexed.tokens))
    return Statement(
        text=chunk.text[start : lexed.end],
        start=start,
        end=lexed.end,
        place=chunk.place(lexed.start),
        kinds=classify(Cursor(chunk.text, lexed.tokens)),
        relations=tuple(found.relations),
        creates=tuple(found.creates),
    )
