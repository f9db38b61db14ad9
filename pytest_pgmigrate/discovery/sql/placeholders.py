"""Finds template placeholders that some other tool would have filled in before the server sees the text.

String literals, dollar-quoted bodies and comments may hold anything and are not searched.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from pytest_pgmigrate.discovery.sql.lexer import Lexed, Token

# <% and %> alone are operators of pg_trgm.
_BRACES = re.compile(
    r"\{\{.{0,300}?\}\}|\{%.{0,300}?%\}|\$\{[^}\n]*\}|\$%[A-Za-z_]\w*%\$|<%=.{0,300}?%>",
    re.DOTALL,
)
_JSON_CONSTRUCTORS = ("JSON_OBJECT", "JSON_OBJECTAGG")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A placeholder as written and the character offset where it starts."""

    offset: int
    text: str


def find_placeholders(text: str, lexed: Lexed) -> tuple[Placeholder, ...]:
    """All placeholders of a text, in its order: ``{{…}}``, ``{%…%}``, ``${…}``, ``$%…%$``, ``<%=…%>``, ``:'…'``, ``:"…"``."""
    found = [
        Placeholder(offset, found)
        for statement in lexed.statements
        for offset, found in _psql_variables(text, statement.tokens)
    ]
    hidden = _hidden(lexed)
    starts = [start for start, _ in hidden]
    for match in _BRACES.finditer(text):
        index = bisect_right(starts, match.start()) - 1
        if index < 0 or match.start() >= hidden[index][1]:
            found.append(Placeholder(match.start(), match.group()))
    return tuple(sorted(found, key=lambda placeholder: placeholder.offset))


def _hidden(lexed: Lexed) -> list[tuple[int, int]]:
    spans = [(comment.start, comment.end) for comment in lexed.comments]
    for statement in lexed.statements:
        spans += [(t.start, t.end) for t in statement.tokens if t.kind in ("string", "dollar")]
    return sorted(spans)


def _psql_variables(text: str, tokens: tuple[Token, ...]) -> list[tuple[int, str]]:
    found = []
    # Inside [ … ] a colon is an array slice, inside JSON_OBJECT( … ) it stands between key and value.
    legitimate: list[bool] = []
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else None
        if token.word in ("(", "["):
            constructor = before is not None and before.word in _JSON_CONSTRUCTORS
            legitimate.append(token.word == "[" or constructor)
        elif token.word in (")", "]") and legitimate:
            legitimate.pop()
        elif token.kind in ("string", "name") and _after_colon(text, tokens, index) and not any(legitimate):
            found.append((token.start - 1, text[token.start - 1 : token.end]))
    return found


def _after_colon(text: str, tokens: tuple[Token, ...], index: int) -> bool:
    token = tokens[index]
    if not index or text[token.start] not in "'\"" or tokens[index - 1].word != ":":
        return False
    colon = tokens[index - 1]
    return colon.end == token.start and not (index > 1 and tokens[index - 2].word == ":")
