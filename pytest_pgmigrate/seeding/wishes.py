"""What a user says of tables and columns in a seed file: plain data, and which name a pattern means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

_PART = re.compile(r'"((?:[^"]|"")*)"|([^."]+)')
_SHAPE = re.compile(r'(?:"(?:[^"]|"")*"|[^."]+)(?:\.(?:"(?:[^"]|"")*"|[^."]+))*')


class Unusable(Exception):
    """What the user gave for a table or column cannot be used; the message says why, and becomes the table's reason."""


@dataclass(frozen=True, slots=True)
class Given:
    """How the values of one column are made. At most one of ``faker``, ``sql`` and ``choices`` is set."""

    faker: str = ""
    """Name of a method of Faker, ``arguments`` are its keyword arguments."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    sql: str = ""
    """An SQL expression, ``i`` in it is the number of the row, from 1."""

    choices: tuple[str, ...] | None = None
    """The values to choose from, in text form."""

    null_rate: float | None = None
    """Share of the rows that get NULL, 0 to 1."""

    @property
    def generates(self) -> bool:
        """Whether it says what the values are, not only how often there is none."""
        return bool(self.faker or self.sql or self.choices is not None)

    def over(self, other: Given) -> Given:
        """This one where it says something, else the other one."""
        base = self if self.generates else other
        return replace(base, null_rate=other.null_rate if self.null_rate is None else self.null_rate)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A name of a table or column as the user wrote it, ``*`` for any; ``place`` is file:line."""

    text: str
    parts: tuple[str, ...]
    place: str

    def matches(self, *names: str) -> bool:
        """Whether it means this name: (schema, table) or (schema, table, column); without a schema it means any."""
        shown = names[len(names) - len(self.parts) :]
        return len(self.parts) <= len(names) and all(map(fnmatchcase, shown, self.parts))

    @property
    def rank(self) -> tuple[int, int]:
        """The higher, the more exact."""
        return (sum("*" not in part and "?" not in part for part in self.parts), len(self.parts))


def pattern(text: str, place: str, size: int) -> Pattern:
    """A pattern of ``size`` parts (2 for a column, 1 for a table) or one more. Raises ValueError for anything else."""
    parts = [bare or quoted.replace('""', '"') for quoted, bare in _PART.findall(text)]
    if not _SHAPE.fullmatch(text) or len(parts) not in (size, size + 1):
        raise ValueError(text)
    return Pattern(text, tuple(parts), place)


def name_parts(text: str) -> int:
    """Of how many parts a name is."""
    return len(_PART.findall(text))


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """One line of ``[columns]``; ``since`` is the version of ``[from."…".columns]``, "" for all versions."""

    pattern: Pattern
    given: Given
    since: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """One seed file; ``file`` as shown to the user, ``text`` its content."""

    file: str = ""
    text: str = ""
    columns: tuple[ColumnRule, ...] = ()
    rows: tuple[tuple[Pattern, int], ...] = ()
    skip: tuple[Pattern, ...] = ()
    reference: tuple[Pattern, ...] = ()

    @property
    def tables(self) -> tuple[Pattern, ...]:
        """Every pattern that means tables."""
        return (*(found for found, _ in self.rows), *self.skip, *self.reference)

    def given(self, schema: str, table: str, column: str, reached: Callable[[str], bool]) -> Given | None:
        """What is said of a column, ``reached`` tells which versions the database has; None when nothing is.

        More exact patterns win, and those of a version over those of all.
        """
        fitting = [
            rule
            for rule in self.columns
            if rule.pattern.matches(schema, table, column) and (not rule.since or reached(rule.since))
        ]
        found: Given | None = None
        for rule in sorted(fitting, key=lambda rule: (version_key(rule.since), rule.pattern.rank)):
            found = rule.given if found is None else rule.given.over(found)
        return found

    def wanted(self, schema: str, table: str) -> int | None:
        """Rows the table shall get, None where nothing is said."""
        fitting = [(found.rank, count) for found, count in self.rows if found.matches(schema, table)]
        return max(fitting)[1] if fitting else None

    def closed(self, schema: str, table: str) -> str:
        """Why the table gets no rows of ours, or ""."""
        if any(found.matches(schema, table) for found in self.skip):
            return f"skipped by {self.file}"
        if any(found.matches(schema, table) for found in self.reference):
            return f"a reference table by {self.file}: its rows come from the migrations, and none has written any"
        return f"no rows wanted by {self.file}" if self.wanted(schema, table) == 0 else ""


def version_key(version: str) -> tuple[int, ...]:
    """Versions compare as numbers: ``000012`` is 12."""
    return tuple(int(number) for number in re.findall(r"[0-9]+", version))
