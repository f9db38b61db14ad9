"""Strings that match a regular expression (PostgreSQL manual, "POSIX Regular Expressions"), the common part of it.

Look-around and back references are ignored: PostgreSQL judges what comes out, a wrong guess is dropped.
"""

from __future__ import annotations

import string
from collections.abc import Callable

_CLASSES = {
    "alpha": string.ascii_letters,
    "digit": string.digits,
    "alnum": string.ascii_letters + string.digits,
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "xdigit": string.digits + "abcdef",
    "space": " ",
    "blank": " ",
    "word": string.ascii_letters + string.digits + "_",
    "punct": "-_.",
    "graph": string.ascii_letters + string.digits,
    "print": string.ascii_letters + string.digits + " ",
}
_ESCAPES = {"d": string.digits, "w": string.ascii_lowercase + string.digits, "s": " "}
_ALL = string.ascii_lowercase + string.digits + string.ascii_uppercase + "-_. "
_FREE = string.ascii_lowercase + string.digits
_EXTRA = 5
"""How many repetitions beyond the least an open quantifier may get."""

Pick = Callable[[int], int]


class PatternError(ValueError):
    """The expression cannot be read; the caller goes without."""


def example(pattern: str, pick: Pick) -> str:
    """One string that should match ``pattern``; ``pick(n)`` gives a number below n. Raises PatternError."""
    reader = _Reader(pattern, pick)
    out = reader.alternatives()
    if reader.at < len(pattern):
        raise PatternError(pattern)
    return out


class _Reader:
    def __init__(self, pattern: str, pick: Pick) -> None:
        self.text = pattern
        self.at = 0
        self.pick = pick

    def peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def take(self) -> str:
        if self.at >= len(self.text):
            raise PatternError(self.text)
        self.at += 1
        return self.text[self.at - 1]

    def alternatives(self) -> str:
        branches = [self.branch()]
        while self.peek() == "|":
            self.take()
            branches.append(self.branch())
        return branches[self.pick(len(branches))]

    def branch(self) -> str:
        out = ""
        while self.peek() not in ("", "|", ")"):
            start = self.at
            once = self.atom()
            low, high = self.quantifier()
            if (low, high) == (1, 1):
                out += once
                continue
            end = self.at
            times = low + (self.pick(high - low + 1) if high > low else 0)
            # The atom is read again for every repetition so that each gets characters of its own.
            for _ in range(times):
                self.at = start
                out += self.atom()
            self.at = end
        return out

    def atom(self) -> str:
        char = self.take()
        if char in "^$":
            return ""
        if char == "(":
            return self.group()
        if char == "[":
            return self.bracket()
        if char == ".":
            return _FREE[self.pick(len(_FREE))]
        if char == "\\":
            return self.escape()
        return char

    def group(self) -> str:
        silent = False
        if self.peek() == "?":
            self.take()
            kind = self.take()
            if kind == "<":
                kind += self.take()
            silent = kind in ("=", "!", "<=", "<!")
            if kind not in (":", "=", "!", "<=", "<!"):
                while self.take() != ")":  # embedded options such as (?i)
                    pass
                return ""
        out = self.alternatives()
        if self.take() != ")":
            raise PatternError(self.text)
        return "" if silent else out

    def escape(self) -> str:
        char = self.take()
        if char in _ESCAPES:
            return _ESCAPES[char][self.pick(len(_ESCAPES[char]))]
        if char in "DSW":
            return {"D": "x", "S": "x", "W": "-"}[char]
        if char in "ntr":
            return {"n": "\n", "t": "\t", "r": "\r"}[char]
        return "" if char in "bBmMyYAZ" else char

    def bracket(self) -> str:
        negated = self.peek() == "^"
        if negated:
            self.take()
        members = ""
        first = True
        while first or self.peek() != "]":
            first = False
            members += self.member()
        self.take()
        if negated:
            members = "".join(char for char in _ALL if char not in members)
        plain = "".join(char for char in members if char.isalnum()) or members
        if not plain:
            raise PatternError(self.text)
        return plain[self.pick(len(plain))]

    def member(self) -> str:
        char = self.take()
        if char == "[" and self.peek() == ":":
            end = self.text.find(":]", self.at)
            if end < 0:
                raise PatternError(self.text)
            name = self.text[self.at + 1 : end]
            self.at = end + 2
            return _CLASSES.get(name, string.ascii_lowercase)
        if char == "\\":
            char = self.take()
            if char in _ESCAPES:
                return _ESCAPES[char]
        if self.peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
            self.take()
            last = self.take()
            last = self.take() if last == "\\" else last
            return "".join(chr(code) for code in range(ord(char), min(ord(last), ord(char) + 200) + 1))
        return char

    def quantifier(self) -> tuple[int, int]:
        char = self.peek()
        bounds = {"*": (0, _EXTRA), "+": (1, 1 + _EXTRA), "?": (0, 1)}.get(char)
        if bounds:
            self.take()
        elif char == "{" and self.text[self.at + 1 : self.at + 2].isdigit():
            end = self.text.find("}", self.at)
            low, comma, high = self.text[self.at + 1 : end].partition(",")
            if end < 0 or not low.isdigit() or (high and not high.isdigit()):
                raise PatternError(self.text)
            self.at = end + 1
            least = int(low)
            bounds = (least, (min(int(high), least + _EXTRA) if high else least + _EXTRA) if comma else least)
        if bounds and self.peek() in ("?", "+"):
            self.take()  # non-greedy and possessive match the same strings
        return bounds or (1, 1)
