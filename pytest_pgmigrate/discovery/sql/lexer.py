"""Cuts SQL text into statements with exact character offsets, as the server's own scanner would.

Follows ``src/backend/parser/scan.l`` and, for where a statement ends, ``src/fe_utils/psqlscan.l``: a semicolon ends a
statement unless it stands in parentheses (the commands of a rule) or in the ``BEGIN ATOMIC … END`` body of a function.
``standard_conforming_strings = off`` is not supported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

BOM = "\ufeff"

_START = "A-Za-z_\u0080-\U0010ffff"
_REST = _START + "0-9$"
# The patterns of quoted tokens stop before the closing quote, so that its absence shows.
_TOKEN = re.compile(
    rf"""
  (?P<space>[ \t\n\r\f\v]+)
 |(?P<line_comment>--[^\n\r]*)
 |(?P<block_comment>/\*)
 |(?P<escape>[eE]'(?:[^'\\]+|''|\\.)*)
 |(?P<unicode>[uU]&'[^']*(?:''[^']*)*)
 |(?P<unicode_name>[uU]&"[^"]*(?:""[^"]*)*)
 |(?P<bits>[bBxXnN]'[^']*(?:''[^']*)*)
 |(?P<word>[{_START}][{_REST}]*)
 |(?P<number>[0-9][0-9A-Za-z_.]*)
 |(?P<plain>'[^']*(?:''[^']*)*)
 |(?P<quoted>"[^"]*(?:""[^"]*)*)
 |(?P<dollar>\$(?:[{_START}][{_START}0-9]*)?\$)
 |(?P<parameter>\$[0-9]+)
 |(?P<operator>(?:(?!--|/\*)[~!@\#%^&|`?+\-*/<>=])+)
 |(?P<char>.)
""",
    re.VERBOSE | re.DOTALL,
)
# A literal goes on after white space that holds a newline (scan.l, quotecontinue); the E'' rules go on with it.
_CONTINUED = re.compile(r"[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*'")
_ESCAPE_REST = re.compile(r"(?:[^'\\]+|''|\\.)*", re.DOTALL)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_COPY_END = re.compile(r"^\\\.[ \t]*\r?$", re.MULTILINE)
_LINE_END = re.compile(r"[\n\r]|\Z")

_STRINGS = {"escape": "string", "unicode": "string", "bits": "string", "plain": "string"}
_NAMES = {"quoted": "name", "unicode_name": "name"}


class Token(NamedTuple):
    """One token; ``start`` and ``end`` are character offsets into the text.

    ``kind`` is ``word`` (keyword or plain name), ``name`` (quoted), ``string``, ``dollar``, ``number``, ``parameter``,
    ``operator`` or ``char``; ``word`` is the upper-cased word, the operator or character itself, else ``""``.
    """

    kind: str
    start: int
    end: int
    word: str


@dataclass(frozen=True, slots=True)
class Span:
    """A comment, from its first to behind its last character."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Text that no server can be sent as it is: a ``kind``, and the offset where the trouble starts.

    ``kind`` is one of ``quote``, ``dollar-quote``, ``comment``, ``parenthesis``, ``atomic``, ``meta-command``,
    ``copy-data`` or ``bom``; ``text`` is what stands there.
    """

    kind: str
    offset: int
    text: str


@dataclass(frozen=True, slots=True)
class LexedStatement:
    """One statement without its semicolon: from the first token to behind the last."""

    start: int
    end: int
    tokens: tuple[Token, ...]
    semicolon: int | None


@dataclass(frozen=True, slots=True)
class Lexed:
    """All statements, comments and diagnostics of a text, in its order."""

    statements: tuple[LexedStatement, ...]
    comments: tuple[Span, ...]
    diagnostics: tuple[Diagnostic, ...]


@dataclass(slots=True)
class _Scanner:
    text: str
    position: int = 0
    tokens: list[Token] = field(default_factory=list)
    open_parentheses: list[int] = field(default_factory=list)
    atomic: int = 0
    """Open BEGIN ATOMIC and CASE, each closed by an END."""

    statements: list[LexedStatement] = field(default_factory=list)
    comments: list[Span] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def run(self) -> Lexed:
        if self.text.startswith(BOM):
            self.diagnostics.append(Diagnostic("bom", 0, BOM))
            self.position = 1
        while self.position < len(self.text):
            self._step()
        self._finish()
        return Lexed(tuple(self.statements), tuple(self.comments), tuple(self.diagnostics))

    def _step(self) -> None:
        match = _TOKEN.match(self.text, self.position)
        assert match is not None, "the last branch takes any character"
        kind, end = match.lastgroup or "char", match.end()
        if kind == "space":
            self.position = end
        elif kind == "line_comment":
            self.comments.append(Span(self.position, end))
            self.position = end
        elif kind == "block_comment":
            self._block_comment(end)
        elif kind == "word":
            self._word(end)
        elif kind in _STRINGS or kind in _NAMES:
            self._quoted(kind, end)
        elif kind == "dollar":
            self._dollar(match.group(), end)
        elif kind == "char":
            self._char(self.text[self.position])
        else:
            self._push(kind, end, match.group() if kind == "operator" else "")

    def _push(self, kind: str, end: int, word: str = "") -> None:
        self.tokens.append(Token(kind, self.position, end, word))
        self.position = end

    def _report(self, kind: str, end: int) -> None:
        self.diagnostics.append(Diagnostic(kind, self.position, self.text[self.position : end]))

    def _block_comment(self, end: int) -> None:
        start, depth = self.position, 1
        while depth:
            edge = _COMMENT_EDGE.search(self.text, end)
            if edge is None:
                self._report("comment", start + 2)
                end = len(self.text)
                break
            end = edge.end()
            depth += 1 if edge.group() == "/*" else -1
        self.comments.append(Span(start, end))
        self.position = end

    def _word(self, end: int) -> None:
        raw = self.text[self.position : end]
        word = raw.upper() if raw.isascii() else raw
        # AS end, t.end: a label or a column, not the keyword that closes the body.
        label = bool(self.tokens) and self.tokens[-1].word in ("AS", ".")
        if self.atomic and not label:
            self.atomic += (word == "CASE") - (word == "END")
        elif word == "ATOMIC" and not self.atomic and self._opens_body():
            self.atomic = 1
        self._push("word", end, word)

    def _opens_body(self) -> bool:
        return (
            len(self.tokens) > 1
            and not self.open_parentheses
            and self.tokens[-1].word == "BEGIN"
            and self.tokens[0].word == "CREATE"
        )

    def _quoted(self, kind: str, end: int) -> None:
        quote = '"' if kind in _NAMES else "'"
        closed = self.text.startswith(quote, end)
        end += closed
        while closed and kind == "escape" and (continued := _CONTINUED.match(self.text, end)):
            rest = _ESCAPE_REST.match(self.text, continued.end())
            end = rest.end() if rest else end
            closed = self.text.startswith(quote, end)
            end += closed
        if not closed:
            self._report("quote", self.text.index(quote, self.position) + 1)
            end = len(self.text)
        self._push(_STRINGS.get(kind) or _NAMES[kind], end)

    def _dollar(self, tag: str, end: int) -> None:
        close = self.text.find(tag, end)
        if close < 0:
            self._report("dollar-quote", end)
            end = len(self.text)
        else:
            end = close + len(tag)
        self._push("dollar", end)

    def _char(self, char: str) -> None:
        if char == ";" and not self.open_parentheses and not self.atomic:
            self._semicolon()
            return
        if char == "\\":
            self._meta_command()
            return
        if char == "(":
            self.open_parentheses.append(self.position)
        elif char == ")" and self.open_parentheses:
            self.open_parentheses.pop()
        self._push("char", self.position + 1, char)

    def _semicolon(self) -> None:
        inline_copy = _copies_from_client(self.tokens)
        copy_start = self.tokens[0].start if self.tokens else 0
        self._flush(self.position)
        self.position += 1
        if not inline_copy:
            return
        self.diagnostics.append(Diagnostic("copy-data", copy_start, "COPY … FROM STDIN"))
        if terminator := _COPY_END.search(self.text, self.position):
            self.position = terminator.end()

    def _meta_command(self) -> None:
        line_end = _LINE_END.search(self.text, self.position)
        end = line_end.start() if line_end else len(self.text)
        self._report("meta-command", end)
        self.position = end

    def _flush(self, semicolon: int | None) -> None:
        if self.tokens:
            tokens = tuple(self.tokens)
            self.statements.append(LexedStatement(tokens[0].start, tokens[-1].end, tokens, semicolon))
        self.tokens.clear()
        self.open_parentheses.clear()
        self.atomic = 0

    def _finish(self) -> None:
        # An unterminated quote or comment swallows what would have closed these: one cause, one diagnostic.
        swallowed = any(d.kind in ("quote", "dollar-quote", "comment") for d in self.diagnostics)
        if self.open_parentheses and not swallowed:
            self.position = self.open_parentheses[0]
            self._report("parenthesis", self.position + 1)
        elif self.atomic and not swallowed:
            self.position = self.tokens[0].start
            self._report("atomic", self.tokens[0].end)
        if self.tokens and _copies_from_client(self.tokens):
            self.diagnostics.append(Diagnostic("copy-data", self.tokens[0].start, "COPY … FROM STDIN"))
        self._flush(None)


def _copies_from_client(tokens: list[Token]) -> bool:
    if not tokens or tokens[0].word != "COPY":
        return False
    return any(a.word == "FROM" and b.word in ("STDIN", "STDOUT") for a, b in pairwise(tokens))


def lex(text: str) -> Lexed:
    """Split a text as one simple query into its statements.

    Never raises: what cannot be read as SQL is in ``diagnostics``, with the offset where it starts.
    """
    return _Scanner(text).run()
