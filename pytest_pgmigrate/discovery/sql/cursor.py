"""Walks over the tokens of one statement: the small vocabulary that classifying and naming are written in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_pgmigrate.discovery.sql.lexer import Token

_OPENING = ("(", "[")
_CLOSING = (")", "]")

# What stands in ``words`` for a string, a number or a quoted name: no keyword ever equals it.
OPAQUE = "\0"


class Cursor:
    """A position in a statement's tokens; all look-aheads answer ``""`` behind the end."""

    def __init__(self, text: str, tokens: Sequence[Token], index: int = 0) -> None:
        self.text = text
        self.tokens = tokens
        self.index = index

    def word(self, ahead: int = 0) -> str:
        """The upper-cased word, operator or character ``ahead`` tokens from here."""
        position = self.index + ahead
        if position >= len(self.tokens):
            return ""
        token = self.tokens[position]
        return token.word if token.kind in ("word", "char", "operator") else OPAQUE

    def take(self, *words: str) -> bool:
        """Step over these words if they all stand here."""
        for ahead, word in enumerate(words):
            if self.word(ahead) != word:
                return False
        self.index += len(words)
        return True

    def take_any(self, *words: str) -> str:
        """Step over one of these words; which one, or ``""``."""
        word = self.word()
        if word not in words:
            return ""
        self.index += 1
        return word

    def take_if_exists(self) -> None:
        """Step over IF EXISTS or IF NOT EXISTS."""
        if not self.take("IF", "EXISTS"):
            self.take("IF", "NOT", "EXISTS")

    def at_name(self) -> bool:
        """Whether a name (plain or quoted) or a word stands here."""
        return self.index < len(self.tokens) and self.tokens[self.index].kind in ("word", "name")

    def name(self) -> str:
        """Step over a possibly qualified name; as written, lower-cased unless quoted, ``""`` when none stands here."""
        if not self.at_name():
            return ""
        parts = [self._part()]
        while self.word() == "." and self.index + 1 < len(self.tokens):
            self.index += 1
            if not self.at_name():
                break
            parts.append(self._part())
        return ".".join(parts)

    def _part(self) -> str:
        token = self.tokens[self.index]
        self.index += 1
        return identifier(self.text[token.start : token.end])

    def relation(self) -> str:
        """A name as FROM takes it: ``ONLY`` before, parentheses around, ``*`` behind."""
        self.take("ONLY")
        self.take("(")
        found = self.name()
        self.take(")")
        self.take("*")
        return found

    def skip_parentheses(self) -> None:
        """Step over one parenthesised group, if one stands here."""
        if self.word() != "(":
            return
        depth = 0
        while self.index < len(self.tokens):
            depth += (self.word() == "(") - (self.word() == ")")
            self.index += 1
            if depth == 0:
                return

    def rest(self) -> list[str]:
        """All words from here on that stand outside parentheses and brackets."""
        return [word for _, word in self.outer()]

    def outer(self) -> Iterator[tuple[int, str]]:
        """Index and word of every token from here on outside parentheses and brackets."""
        depth = 0
        for position in range(self.index, len(self.tokens)):
            token = self.tokens[position]
            if token.word in _OPENING:
                depth += 1
            elif token.word in _CLOSING:
                depth -= 1
            elif depth == 0:
                yield position, token.word if token.kind in ("word", "char", "operator") else OPAQUE

    def items(self) -> Iterator[Cursor]:
        """The comma-separated items from here on, each with a cursor of its own (the actions of an ALTER TABLE)."""
        start = self.index
        for position, word in self.outer():
            if word == ",":
                yield Cursor(self.text, self.tokens[start:position])
                start = position + 1
        yield Cursor(self.text, self.tokens[start:])

    def inside(self) -> Cursor:
        """A cursor over the parenthesised group that stands here, without its parentheses."""
        start = self.index + 1
        end = Cursor(self.text, self.tokens, self.index)
        end.skip_parentheses()
        return Cursor(self.text, self.tokens[start : max(start, end.index - 1)])


def fold(name: str) -> str:
    """Lower-case a name as the server does in UTF-8: ASCII letters only."""
    return "".join(char.lower() if char.isascii() else char for char in name)


def identifier(raw: str) -> str:
    """The name that a token means: folded, or as quoted (quotes are kept when the name holds a dot)."""
    if raw[:3] in ('U&"', 'u&"'):
        raw = raw[2:]
    if not raw.startswith('"'):
        return fold(raw)
    inner = raw[1:-1].replace('""', '"')
    return raw if "." in inner else inner
