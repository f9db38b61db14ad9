"""What the text of a CHECK says about single columns: choices, ranges, patterns, lengths.

Hints only guide the first guess; PostgreSQL evaluates the constraint itself on every row before anything is inserted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pytest_pgmigrate.seeding.shape import Check

_TOKEN = re.compile(
    r"""E?'(?:[^'\\]|''|\\.)*' | "(?:[^"]|"")*" | \d+(?:\.\d+)?(?:e[+-]?\d+)? | [A-Za-z_][\w$]* | ::
        | [<>=~!@#%^&|?*/+-]+ | \S""",
    re.VERBOSE,
)
_TYPE_WORDS = frozenset(("varying", "precision", "with", "without", "time", "zone"))
_LENGTHS = frozenset(("length", "char_length", "character_length", "octet_length"))
_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}


@dataclass(slots=True)
class Hint:
    """What is known about a column. ``windows`` are (low, high) as literals, either may be None."""

    choices: list[str] = field(default_factory=list)
    windows: list[tuple[str | None, str | None]] = field(default_factory=list)
    patterns: list[str] = field(default_factory=list)
    shortest: int = 0
    longest: int | None = None


NO_HINT = Hint()


def unquote(token: str) -> str:
    """The value of a string constant as pg_get_expr prints it."""
    if token.startswith("E'"):
        return re.sub(r"\\(.)", r"\1", token[2:-1].replace("''", "'"))
    return token[1:-1].replace("''", "'")


def is_string(token: str) -> bool:
    """Whether the token is a string constant."""
    return token.endswith("'")


def tokens(expression: str) -> list[str]:
    """The expression's tokens without casts, parentheses and commas; delimited identifiers keep their quotes."""
    found = _TOKEN.findall(expression)
    kept: list[str] = []
    at = 0
    while at < len(found):
        item = found[at]
        if item == "::":
            at = _after_type(found, at + 1)
            continue
        if (
            item == "-"
            and at + 1 < len(found)
            and found[at + 1][0].isdigit()
            and (not kept or not _is_operand(kept[-1]))
        ):
            kept.append("-" + found[at + 1])
            at += 2
            continue
        if item not in "(),":
            kept.append(item)
        at += 1
    return kept


def _is_operand(token: str) -> bool:
    return token[0].isalnum() or token[0] in "'\"_"


def _after_type(found: Sequence[str], at: int) -> int:
    """Index after a type name such as ``"char"``, ``character varying(20)[]``, ``timestamp without time zone``."""
    at += 1
    while at < len(found) and (found[at] in _TYPE_WORDS or found[at] == "."):
        at += 2 if found[at] == "." else 1
    if at < len(found) and found[at] == "(":
        while at < len(found) and found[at] != ")":
            at += 1
        at += 1
    while at + 1 < len(found) and found[at] == "[" and found[at + 1] == "]":
        at += 2
    while at < len(found) and found[at] in _TYPE_WORDS:
        at += 1
    return at


def literals(expressions: Iterable[str]) -> tuple[list[str], list[str]]:
    """String constants and numbers in the expressions, in order, without repetition."""
    strings: dict[str, None] = {}
    numbers: dict[str, None] = {}
    for expression in expressions:
        for token in tokens(expression):
            if is_string(token):
                strings[unquote(token)] = None
            elif token.lstrip("-")[:1].isdigit():
                numbers[token] = None
    return list(strings), list(numbers)


def read_hints(checks: Sequence[Check]) -> dict[str, Hint]:
    """Hints by column for all checks of a table."""
    found: dict[str, Hint] = {}
    for check in checks:
        for expression in check.alternatives or (check.expression,):
            flat = tokens(expression)
            for column in check.columns:
                _read(flat, column, found.setdefault(column, Hint()), window=bool(check.alternatives))
    return found


def _read(flat: list[str], column: str, hint: Hint, *, window: bool) -> None:
    names = {column, '"' + column.replace('"', '""') + '"'}
    words = {token.upper() for token in flat}
    alternatives = "OR" in words
    if "NOT" in words and "NULL" not in words:
        return
    low: str | None = None
    high: str | None = None
    for at, token in enumerate(flat):
        if token not in names:
            continue
        before, after = flat[:at], flat[at + 1 :]
        if len(after) > 2 and after[0] == "=" and after[1] == "ANY" and after[2] == "ARRAY":
            hint.choices += [_plain(item) for item in _array(after[3:])]
            continue
        operator, value = _comparison(before, after)
        if operator is None or value is None:
            continue
        if before and before[-1].lower() in _LENGTHS:
            _length(hint, operator, value)
        elif operator in ("~", "~*", "~~", "~~*"):
            _pattern(hint, operator, value, after)
        elif operator == "=":
            if window or alternatives or len(flat) == 3:
                hint.choices.append(_plain(value))
        elif operator in (">", ">="):
            low = _plain(value) if low is None else low
        elif operator in ("<", "<="):
            high = _plain(value) if high is None else high
    if (low is not None or high is not None) and (window or not alternatives):
        _narrow(hint, low, high, window=window)


def _narrow(hint: Hint, low: str | None, high: str | None, *, window: bool) -> None:
    if window or not hint.windows:
        hint.windows.append((low, high))
        return
    old_low, old_high = hint.windows[0]
    hint.windows[0] = (low if old_low is None else old_low, high if old_high is None else old_high)


def _array(items: Sequence[str]) -> list[str]:
    found = []
    for item in items:
        if item == "[":
            continue
        if not (is_string(item) or item.lstrip("-")[:1].isdigit()):
            break
        found.append(item)
    return found


def _comparison(before: Sequence[str], after: Sequence[str]) -> tuple[str | None, str | None]:
    """Operator and constant of ``column op constant`` (``~ similar_to_escape '…'`` too) or its mirror image."""
    if len(after) > 1 and _is_operator(after[0]):
        if _is_constant(after[1]) and not (len(after) > 2 and after[2] in "+-*/||%"):
            return after[0], after[1]
        if after[1] in ("similar_to_escape", "like_escape") and len(after) > 2 and _is_constant(after[2]):
            return after[0], after[2]
    if len(before) > 1 and before[-1] in _MIRROR and _is_constant(before[-2]):
        return _MIRROR[before[-1]], before[-2]
    return None, None


def _is_operator(token: str) -> bool:
    return token in _MIRROR or token in ("~", "~*", "~~", "~~*")


def _is_constant(token: str) -> bool:
    return is_string(token) or token.lstrip("-")[:1].isdigit()


def _plain(token: str) -> str:
    return unquote(token) if is_string(token) else token


def _length(hint: Hint, operator: str, value: str) -> None:
    if not value.isdigit():
        return
    number = int(value)
    if operator in (">", ">=", "="):
        hint.shortest = max(hint.shortest, number + (operator == ">"))
    if operator in ("<", "<=", "="):
        limit = number - (operator == "<")
        hint.longest = limit if hint.longest is None else min(hint.longest, limit)


def _pattern(hint: Hint, operator: str, value: str, after: Sequence[str]) -> None:
    if not is_string(value):
        return
    text = unquote(value)
    if operator.startswith("~~"):
        text = like_to_regex(text)
    elif after[1] == "similar_to_escape":
        text = "^(?:" + text.replace("%", ".*").replace("_", ".") + ")$"
    hint.patterns.append(text)


def like_to_regex(pattern: str) -> str:
    """A LIKE pattern as a regular expression."""
    out = ""
    escaped = False
    for char in pattern:
        if not escaped and char == "\\":
            escaped = True
            continue
        out += {"%": ".*", "_": "."}.get(char, "") if not escaped and char in "%_" else re.escape(char)
        escaped = False
    return f"^{out}$"
