"""Directives: ``-- pgmigrate: word[args] reason`` comments in a migration file.

``ignore[CODE]`` speaks about the statement it stands in, on the line of, or in front of; every other word about the
whole file. ``contract, needs=000012 reason`` names the migration that a contraction rests on. The reason is required,
because it is printed; that of ``verify`` is SQL that must return no rows.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from pytest_pgmigrate.discovery.sql.cursor import identifier
from pytest_pgmigrate.discovery.sql.lexer import Lexed
from pytest_pgmigrate.model.migration import Chunk, Defect, Directive, Statement

_GRAMMAR = "-- pgmigrate: word[args] reason"
_MARK = re.compile(r"--\s*pgmigrate\b\s*:?(?P<body>.*)", re.IGNORECASE)
_BLOCK_MARK = re.compile(r"/\*\s*pgmigrate\s*:", re.IGNORECASE)
_COLON = re.compile(r"--\s*pgmigrate\s*:", re.IGNORECASE)
_BODY = re.compile(r"\s*(?P<word>[A-Za-z][\w-]*)?\s*(?P<args>\[(?P<inner>(?:[^\]\"]|\"[^\"]*\")*)\])?(?P<reason>.*)")
_ARGUMENT = re.compile(r"(?:[^,\"]|\"(?:[^\"]|\"\")*\")+")
_NAME_PART = re.compile(r"\"(?:[^\"]|\"\")*\"|[^.\"]+")
_NEEDS = re.compile(r"\s*,?\s*needs\s*=\s*(?P<version>[^\s,]*)", re.IGNORECASE)
_CHECK_WORD = re.compile(r"[A-Za-z]+[0-9]*|[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class _Word:
    arguments: str
    """``required``, ``optional`` or ``none``."""

    example: str


_WORDS = {
    "ignore": _Word("required", "-- pgmigrate: ignore[PMG301] the table has 12 rows"),
    "ignore-file": _Word("required", "-- pgmigrate: ignore-file[PMG301] runs before the first deploy"),
    "irreversible": _Word("optional", "-- pgmigrate: irreversible[users.phone] the column was never read"),
    "no-transaction": _Word("none", "-- pgmigrate: no-transaction CREATE INDEX CONCURRENTLY"),
    "contract": _Word("none", "-- pgmigrate: contract, needs=000012 release 41 no longer reads the column"),
    "verify": _Word("none", "-- pgmigrate: verify SELECT id FROM users WHERE handle IS NULL"),
}
# These hold although their reason is missing: sending the file otherwise would only add a second finding.
_EFFECTIVE_WITHOUT_REASON = ("no-transaction", "irreversible")

_QUERY = re.compile(r"(select|with|values|table)\b|\(", re.IGNORECASE)

Parsed = tuple[tuple[Directive, ...], tuple[Defect, ...]]


def find_directives(chunk: Chunk, lexed: Lexed, statements: Sequence[Statement]) -> Parsed:
    """The directives in a chunk's comments, and a defect for each one that is malformed.

    Only real comments count: the same text inside a string or a dollar-quoted body is data.
    """
    directives, defects = [], []
    starts, ends = [s.start for s in statements], [s.end for s in statements]
    for comment in lexed.comments:
        raw = chunk.text[comment.start : comment.end]
        directive, problem = _parse(raw, chunk, comment.start)
        if directive is not None and directive.word == "ignore":
            directive, problem = _attach(directive, chunk, comment.start, ends, starts)
        if directive is not None:
            directives.append(directive)
        if problem is not None:
            defects.append(Defect("directive", chunk.place(comment.start), *problem))
    return tuple(directives), tuple(defects)


Problem = tuple[str, str]
_Attached = tuple["Directive | None", "Problem | None"]


def _parse(raw: str, chunk: Chunk, offset: int) -> tuple[Directive | None, Problem | None]:
    if _BLOCK_MARK.match(raw):
        return None, ("a directive in a /* … */ comment has no effect", f"write it as {_GRAMMAR}")
    mark = _MARK.fullmatch(raw)
    if mark is None or not (_COLON.match(raw) or _looks_meant(mark["body"])):
        return None, None
    if not _COLON.match(raw):
        return None, ("a directive needs a colon after pgmigrate", f"write it as {_GRAMMAR}")
    body = _BODY.fullmatch(mark["body"])
    if body is None or not body["word"]:
        return None, ("a directive without a word", f"write it as {_GRAMMAR}, with one of: {', '.join(_WORDS)}")
    word = body["word"].lower()
    if word not in _WORDS:
        return None, _unknown(word)
    reason = body["reason"].strip()
    arguments = _arguments(body["inner"], word)
    problem = _argument_problem(word, body["args"], arguments, reason)
    if problem is None and word == "contract":
        arguments, reason, problem = _needs(reason)
    if problem is not None:
        return None, problem
    at = mark.start("body") + body.start("reason") + len(body["reason"]) - len(body["reason"].lstrip())
    directive = Directive(word, arguments, reason, chunk.place(offset), reason_at=chunk.place(offset + at))
    if word == "verify" and not _QUERY.match(reason):
        what = f"SQL that returns no rows, not {reason[:40]!r}" if reason else "SQL that returns no rows"
        return None, (
            f"verify takes {what}",
            f"write a query for the rows that must not be, e.g. {_WORDS[word].example}",
        )
    if reason:
        return directive, None
    missing = (f"{word} gives no reason", f"say why after it, e.g. {_WORDS[word].example}")
    return (directive if word in _EFFECTIVE_WITHOUT_REASON else None), missing


def _looks_meant(body: str) -> bool:
    """``-- pgmigrate ignore[X]``: the colon was forgotten. Prose that starts with our name is left alone."""
    found = _BODY.fullmatch(body)
    return bool(found and found["word"] and found["word"].lower() in _WORDS and found["args"])


def _unknown(word: str) -> Problem:
    close = get_close_matches(word, _WORDS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"unknown directive {word!r}", f"{hint}known words: {', '.join(_WORDS)}"


def _arguments(inner: str | None, word: str) -> tuple[str, ...]:
    raw = [found.strip() for found in _ARGUMENT.findall(inner or "")]
    if word == "irreversible":
        return tuple(".".join(identifier(p.strip()) for p in _NAME_PART.findall(item)) for item in raw if item)
    return tuple(item for item in raw if item)


def _argument_problem(word: str, brackets: str | None, arguments: tuple[str, ...], reason: str) -> Problem | None:
    rule = _WORDS[word]
    if brackets is None and reason.startswith("["):
        return f"{word} has an unclosed [", f"close it, e.g. {rule.example}"
    if rule.arguments == "none":
        return (f"{word} takes no arguments", f"leave the brackets out: {rule.example}") if brackets else None
    if not arguments and (brackets is not None or rule.arguments == "required"):
        what = "objects" if word == "irreversible" else "codes or slugs"
        return f"{word} names no {what}", f"name them in brackets, e.g. {rule.example}"
    if word != "irreversible":
        wrong = [argument for argument in arguments if not _CHECK_WORD.fullmatch(argument)]
        if wrong:
            return f"{word} names {wrong[0]!r}, which is no code and no slug", f"e.g. {rule.example}"
    return None


def _needs(reason: str) -> tuple[tuple[str, ...], str, Problem | None]:
    """The versions after ``needs=`` in front of a contraction's reason, and the reason without them."""
    versions = []
    while found := _NEEDS.match(reason):
        versions.append(found["version"])
        reason = reason[found.end() :]
    reason = reason.strip()
    example = f"e.g. {_WORDS['contract'].example}"
    if not all(versions):
        return (), reason, ("contract has a needs= without a version", f"name the migration it rests on, {example}")
    if reason.startswith(","):
        return (), reason, ("contract takes nothing but needs=<version>", example)
    return tuple(versions), reason, None


def _attach(directive: Directive, chunk: Chunk, offset: int, ends: list[int], starts: list[int]) -> _Attached:
    index = _statement_index(chunk, offset, starts, ends)
    if index is None and ends:
        fix = "move it in front of the statement, or use ignore-file[…] for the whole file"
        return None, ("ignore stands behind the last statement and applies to nothing", fix)
    return replace(directive, statement=index), None


def _statement_index(chunk: Chunk, offset: int, starts: list[int], ends: list[int]) -> int | None:
    """The statement the comment stands in or behind on the same line, else the one that follows it."""
    following = bisect_right(ends, offset)
    inside = following < len(starts) and starts[following] < offset
    if following and not inside and chunk.place(ends[following - 1]).line == chunk.place(offset).line:
        return following - 1
    return following if following < len(ends) else None
