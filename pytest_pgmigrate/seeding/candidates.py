"""Values worth trying in a column for a CHECK: what the constraint mentions, and near misses of what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal

from pytest_pgmigrate.seeding.draw import Stream
from pytest_pgmigrate.seeding.hints import Hint, literals, read_hints
from pytest_pgmigrate.seeding.judge import Candidates, Judge
from pytest_pgmigrate.seeding.numbers import decimal_or_none, moment_or_none
from pytest_pgmigrate.seeding.shape import Check, Column, Row
from pytest_pgmigrate.seeding.unlikely import unlikely
from pytest_pgmigrate.seeding.values import TEXT_TYPES, TIMES, WHOLE, ValueMaker, pattern_example

# Costs: what an application would most likely write comes first.
AS_IS, LIKELY, NULL, NEAR, GUESS, UNLIKELY = 0, 1, 2, 2, 3, 4
MAX_CANDIDATES = 48
WIDE_CANDIDATES = 200
MAX_SPARE = 6

Values = list["str | None"]


class CandidateMaker:
    """Candidates for the columns of one table.

    ``linked`` gives the keys a foreign-key column may hold, ``spare`` further values of the column's own kind. Texts
    made for a pattern are others in every ``turn``.
    """

    def __init__(
        self,
        seed: int,
        table: str,
        values: ValueMaker,
        linked: Callable[[str], Sequence[str | None]],
        spare: Callable[[str, int], str | None],
        turn: int = 0,
    ) -> None:
        self._mark = ("@check", str(turn)) if turn else ("@check",)
        self._seed = seed
        self._table = table
        self._values = values
        self._linked = linked
        self._spare = spare

    def candidates(
        self,
        column: Column,
        group: Sequence[Column],
        checks: Sequence[Check],
        rows: Sequence[Row],
        judge: Judge,
        *,
        wide: bool = False,
    ) -> Candidates:
        """Ways to fill ``column``, the present values first, each once; ``wide`` tries less likely ones as well."""
        about = [check for check in checks if column.name in check.columns]
        found = _Collected(len(rows), nullable=not column.not_null)
        found.each(AS_IS, [row.get(column.name) for row in rows])
        for expression in (text for check in about for text in (check.alternatives or (check.expression,))):
            derived = derived_from(column, expression)
            if derived:
                found.each(LIKELY, [one[0] for one in judge.evaluate([f"({derived})::text"], about, rows)])
        if wide and not column.not_null:
            found.constant(LIKELY, None)
        keys = self._linked(column.name)
        for key in keys[:12]:
            found.constant(LIKELY, key)
        if not keys:
            others = [other for other in group if other.name != column.name]
            self._own(column, others, about, rows, found)
            for turn in range(MAX_SPARE):
                found.each(NEAR, [self._spare(column.name, turn * len(rows) + at) for at in range(len(rows))])
        if not column.not_null:
            found.constant(NULL, None)
        if wide and not keys:
            for values in unlikely(column, checks, rows):
                found.each(UNLIKELY, values)
        return sorted(found.ways, key=lambda way: way[0])[: WIDE_CANDIDATES if wide else MAX_CANDIDATES]

    def _own(
        self, column: Column, others: Sequence[Column], checks: Sequence[Check], rows: Sequence[Row], found: _Collected
    ) -> None:
        name = column.type.name
        strings, numbers = literals(text for check in checks for text in (check.alternatives or (check.expression,)))
        hint = read_hints(checks).get(column.name) or Hint()
        if column.type.kind == "e" or name == "bool":
            for label in column.type.labels or ("true", "false"):
                found.constant(LIKELY, label)
        elif name in TEXT_TYPES:
            self._texts(column, hint, strings, numbers, rows, found)
            for other in others:
                found.each(NEAR, [row.get(other.name) for row in rows])
        elif name in WHOLE or name in ("numeric", "float4", "float8", "money"):
            self._numbers(column, others, [*numbers, *strings], rows, found)
        elif name in TIMES:
            self._times(column, others, strings, rows, found)
        elif name in ("json", "jsonb"):
            self._documents(others, strings, rows, found)
        elif column.type.category == "A":
            self._arrays(column, strings, found)
        else:
            for text in strings:
                found.constant(LIKELY, text)

    def _texts(
        self,
        column: Column,
        hint: Hint,
        strings: Sequence[str],
        numbers: Sequence[str],
        rows: Sequence[Row],
        found: _Collected,
    ) -> None:
        stream = Stream(self._seed, self._table, column.name, *self._mark)
        for choice in hint.choices:
            found.constant(LIKELY, choice)
        for text in (*hint.patterns, *strings):
            for turn in range(3):
                found.each(LIKELY, [pattern_example(text, stream, at, turn) for at in range(len(rows))])
        for text in strings:
            found.constant(LIKELY, text)
        present = [row.get(column.name) or "value" for row in rows]
        found.each(NEAR, [text.lower() for text in present])
        found.each(NEAR, [text.upper() for text in present])
        found.each(NEAR, [re.sub(r"[^a-z0-9]", "", text.lower()) or "value" for text in present])
        for number in [int(text) for text in numbers if text.isdigit() and 0 < int(text) <= 1000]:
            for size in (number, number + 1, number - 1):
                found.each(NEAR, [(text + text * size)[:size] for text in present])
                found.each(
                    GUESS, [f"{stream.number(at):020d}{stream.number(at, 1):020d}"[-size:] for at in range(len(rows))]
                )
                found.each(GUESS, [(f"{stream.number(at):016x}" * (size // 16 + 1))[:size] for at in range(len(rows))])
        for text in strings:
            found.each(GUESS, [text + one for one in present])
            found.each(GUESS, [one + text for one in present])
        found.each(GUESS, [str(at + 1) for at in range(len(rows))])
        found.constant(GUESS, "")

    def _numbers(
        self, column: Column, others: Sequence[Column], known: Sequence[str], rows: Sequence[Row], found: _Collected
    ) -> None:
        deltas: tuple[int | Decimal, ...] = (
            (0, 1, -1) if column.type.name in WHOLE else (0, Decimal("0.01"), Decimal("-0.01"), 1)
        )
        for number in [found for found in map(decimal_or_none, known) if found is not None]:
            for delta in deltas:
                found.constant(GUESS, f"{number + delta:f}")
        for other in others:
            present = [decimal_or_none(row.get(other.name)) for row in rows]
            if any(number is not None for number in present):
                for delta in deltas:
                    found.each(NEAR, [None if n is None else f"{n + delta:f}" for n in present])
        for small in (0, 1, 2, 10, 100):
            found.constant(GUESS, str(small))
        mine = [decimal_or_none(row.get(column.name)) for row in rows]
        found.each(GUESS, [None if n is None else f"{n * 2:f}" for n in mine])
        found.each(GUESS, [None if n is None else f"{-n:f}" for n in mine])

    def _times(
        self, column: Column, others: Sequence[Column], strings: Sequence[str], rows: Sequence[Row], found: _Collected
    ) -> None:
        day = timedelta(days=1)
        for text in strings:
            known = moment_or_none(text)
            if known is not None:
                for delta in (day, -day):
                    found.each(GUESS, [str(known + delta + timedelta(minutes=at)) for at in range(len(rows))])
                found.constant(GUESS, str(known))
        for other in others:
            present = [moment_or_none(row.get(other.name)) for row in rows]
            if any(present):
                for delta in (day, -day, timedelta()):
                    found.each(NEAR, [None if one is None else str(one + delta) for one in present])
        mine = [moment_or_none(row.get(column.name)) for row in rows]
        for days in range(1, 7):
            found.each(GUESS, [None if one is None else str(one + day * days) for one in mine])

    def _documents(
        self, others: Sequence[Column], strings: Sequence[str], rows: Sequence[Row], found: _Collected
    ) -> None:
        keys = [key for key in dict.fromkeys(part for text in strings for part in re.split(r"[{},\s]+", text)) if key]
        documents: list[object] = [{}, [], [1], ["value"], "value", 1, True]
        for other in others:
            values = [row.get(other.name) for row in rows]
            for key in keys:
                found.each(LIKELY, [json.dumps({key: value}) for value in values])
            if keys:
                found.each(LIKELY, [json.dumps(dict.fromkeys(keys, value)) for value in values])
        for leaf in ("value", 1, True, [1], {"name": "value"}):
            if keys:
                documents.insert(0, dict.fromkeys(keys, leaf))
            documents += [{key: leaf} for key in keys]
        for document in documents:
            found.constant(GUESS, json.dumps(document))

    def _arrays(self, column: Column, strings: Sequence[str], found: _Collected) -> None:
        value = self._values.make(column)
        for text in strings:
            found.constant(LIKELY, text if text.startswith("{") else "{" + json.dumps(text) + "}")
        items = [(value(at, 0) or "{}")[1:-1].split(",")[0] for at in range(4)]
        for size in range(len(items) + 1):
            found.constant(NEAR, "{" + ",".join(items[:size]) + "}")
        if strings:
            found.constant(NEAR, "{" + ",".join(json.dumps(text) for text in strings) + "}")


class _Collected:
    """Candidates without repetition."""

    def __init__(self, size: int, *, nullable: bool) -> None:
        self.ways: Candidates = []
        self._size = size
        self._nullable = nullable
        self._seen: set[tuple[str | None, ...]] = set()

    def constant(self, cost: int, value: str | None) -> None:
        self.each(cost, [value] * self._size)

    def each(self, cost: int, values: Values) -> None:
        key = tuple(values)
        if key in self._seen or (None in key and not self._nullable):
            return
        self._seen.add(key)
        self.ways.append((cost, values))


def derived_from(column: Column, expression: str) -> str | None:
    """The right side of a check of the form ``column = expression over other columns``."""
    text = expression.strip()
    while text.startswith("(") and _closes_at_end(text):
        text = text[1:-1].strip()
    match = re.match(
        rf"\(?({re.escape(column.name)}|{re.escape(column.quoted)})\)?(?:::[a-z ]+)? = (.+)$", text, re.DOTALL
    )
    if not match or re.search(r" (AND|OR) ", text) or re.search(rf"\b{re.escape(column.name)}\b", match[2]):
        return None
    return match[2] if _balanced(match[2]) else None


def _closes_at_end(text: str) -> bool:
    """Whether the first parenthesis is closed by the last character, and not before."""
    depth, quoted = 0, False
    for at, char in enumerate(text):
        if char == "'":
            quoted = not quoted
        elif not quoted and char in "()":
            depth += 1 if char == "(" else -1
            if not depth:
                return at == len(text) - 1
    return False


def _balanced(text: str) -> bool:
    """Whether the parentheses outside of string constants close each other."""
    return _closes_at_end(f"({text})")
