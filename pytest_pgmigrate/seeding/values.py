"""Values: from a column's type and name to a function of the row number that gives the text form of a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from pytest_pgmigrate.seeding import literals_by_type as forms
from pytest_pgmigrate.seeding.draw import Stream
from pytest_pgmigrate.seeding.hints import NO_HINT, Hint, is_string, read_hints, tokens, unquote
from pytest_pgmigrate.seeding.names import kind_of, pool
from pytest_pgmigrate.seeding.numbers import moment, number
from pytest_pgmigrate.seeding.patterns import PatternError, example
from pytest_pgmigrate.seeding.shape import Check, Column, TypeInfo

Make = Callable[[int, int], "str | None"]
"""(row number, shift) to a value; ``shift`` moves columns with few values on to the next one."""

TEXT_TYPES = frozenset(("text", "varchar", "bpchar", "citext", "name", "char"))
WHOLE = {"int2": 2**15 - 1, "int4": 2**31 - 1, "int8": 2**63 - 1, "oid": 2**31 - 1}
TIMES = frozenset(("timestamp", "timestamptz", "date", "time", "timetz"))
_RARE = re.compile(
    r"(delet|remov|cancell?|revok|archiv|disabl|bann|suspend|lock|block)\w*_(at|on|date|time|by)$|^deleted$"
)
_RARE_FLAG = re.compile(r"delet|remov|disabl|archiv|lock|bann|block|suspend|revok|hidden|internal|admin")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def mostly_null(column: Column) -> bool:
    """Whether most rows have no value here: what says when or by whom a row was deleted, revoked, locked."""
    return not column.not_null and _RARE.search(column.name.lower()) is not None


def choices_of(column: Column, hint: Hint) -> tuple[str, ...] | None:
    """The few values the column can take at all, None when there are many."""
    if hint.choices:
        return tuple(dict.fromkeys(hint.choices))
    if column.type.kind == "e":
        return column.type.labels
    if column.type.name == "bit" and column.typmod in (1, 2, 3):
        return tuple(f"{number:0{column.typmod}b}" for number in range(1 << column.typmod))
    return ("true", "false") if column.type.name == "bool" else None


class ValueMaker:
    """Makes value functions for the columns of one table."""

    def __init__(self, seed: int, table: str, types: Mapping[int, TypeInfo]) -> None:
        self._seed = seed
        self._table = table
        self._types = types
        self._clock = Stream(seed, table, "@clock")

    def make(self, column: Column, hint: Hint = NO_HINT, *, distinct: bool = False) -> Make:
        """The value function of a column; ``distinct`` promises a different value for every row where it can."""
        stream = Stream(self._seed, self._table, column.name)
        few = choices_of(column, hint)
        if few is not None:
            return self._few(column, few, stream, counted=distinct or bool(hint.choices) or column.type.name != "bool")
        made = self._by_type(column, hint, stream, distinct)
        if mostly_null(column):
            return lambda row, shift: made(row, shift) if stream.below(row, 5, 7) == 0 else None
        return made

    def _few(self, column: Column, few: tuple[str, ...], stream: Stream, *, counted: bool) -> Make:
        size = len(few)
        if not size:
            return lambda row, shift: None
        if counted:
            return lambda row, shift: few[(stream.permuted(row, size) + shift) % size]
        odds = 5 if _RARE_FLAG.search(column.name.lower()) else 2
        return lambda row, shift: few[((0 if stream.below(row, odds) == 0 else 1) + shift) % 2]

    def _by_type(self, column: Column, hint: Hint, stream: Stream, distinct: bool) -> Make:
        kind, name = column.type, column.type.name
        if name in ("int2vector", "oidvector"):
            return lambda row, shift: f"{row + 1} {row + 2}"
        if kind.category == "A" and kind.element:
            return self._array(column, stream)
        if kind.kind == "r":
            return self._range(column, hint, stream, distinct)
        if kind.kind == "m":
            inner = self._by_type(self._of_type(column, kind.element), NO_HINT, stream, True)
            return lambda row, shift: "{" + (inner(row, shift) or "") + "}"
        if kind.kind == "c":
            return self._composite(column)
        if name in TEXT_TYPES:
            return self._text(column, hint, stream, distinct)
        if name in WHOLE or name in ("numeric", "float4", "float8", "money"):
            return self._number(column, hint, stream, distinct)
        if name in TIMES:
            return self._time(column, hint, stream, distinct)
        if name in ("json", "jsonb"):
            return self._json(column)
        return forms.make(column, stream, distinct)

    def _number(self, column: Column, hint: Hint, stream: Stream, distinct: bool) -> Make:
        name = column.type.name
        whole = name in WHOLE
        scale, limit = 0 if whole else 2, Decimal(WHOLE[name]) if whole else None
        if name == "numeric" and column.typmod > 4:
            precision = ((column.typmod - 4) >> 16) & 0xFFFF
            scale = ((column.typmod - 4) & 0x7FF) ^ 0x400
            scale -= 0x400
            limit = Decimal(10) ** (precision - scale) - Decimal(1).scaleb(-scale)
        windows = hint.windows

        def value(row: int, shift: int) -> str:
            made = number(stream, column.name, row, scale=scale, windows=windows, limit=limit, distinct=distinct)
            return f"{made:f}"

        return value

    def _time(self, column: Column, hint: Hint, stream: Stream, distinct: bool) -> Make:
        name = column.type.name
        form = {
            "date": "%Y-%m-%d",
            "time": "%H:%M:%S.%f",
            "timetz": "%H:%M:%S.%f+00",
            "timestamp": "%Y-%m-%d %H:%M:%S.%f",
        }
        layout = form.get(name, "%Y-%m-%d %H:%M:%S.%f+00")

        def value(row: int, shift: int) -> str:
            made = moment(self._clock, stream, column.name, row, windows=hint.windows, distinct=distinct)
            if distinct and name == "date" and not hint.windows:
                made = made + timedelta(days=row - int(row * 431 / 1440))
            if not hint.windows:
                # As now() gives it, and the same in all columns of a row so that their order stays.
                made = made.replace(microsecond=1 + self._clock.below(row, 999_999, 11))
            return made.strftime(layout)

        return value

    def _text(self, column: Column, hint: Hint, stream: Stream, distinct: bool) -> Make:
        limits = [limit for limit in (column.length, hint.longest) if limit is not None]
        longest = min(limits) if limits else {"name": 63, "char": 1}.get(column.type.name)
        kind = kind_of(column.name, self._table)
        texts = pool(kind.name, self._seed)
        if hint.patterns and not all(_matches(pattern, texts[0]) for pattern in hint.patterns):
            return self._pattern(hint.patterns[0], stream, longest)
        if longest is not None and longest < 6 and (distinct or longest < 3):
            return lambda row, shift: _code(row, longest)
        distinct = distinct or kind.identity
        default = _literal_default(column)
        if default and not distinct and kind.name in ("status", "category", "word", "version"):
            texts = (default, *(text for text in texts if text != default))
        size = len(texts)
        shortest = hint.shortest

        def value(row: int, shift: int) -> str:
            base = texts[stream.permuted(row, size)]
            round_ = row // size if distinct else 0
            if round_:
                base = _numbered(base, str(round_ + 1))
            if len(base) < shortest:
                base = (base + "-" + base * shortest)[: shortest + (1 if longest is None else 0)]
            if longest is not None and len(base) > longest:
                tail = str(row) if distinct else ""
                base = base[: longest - len(tail)].rstrip(" -") + tail if len(tail) < longest else base[:longest]
                base = base.ljust(shortest, "x") if len(base) < shortest else base
            return base

        return value

    def _pattern(self, pattern: str, stream: Stream, longest: int | None) -> Make:
        def value(row: int, shift: int) -> str | None:
            made = ""
            for turn in range(20):
                made = pattern_example(pattern, stream, row, turn + 20 * shift) or ""
                if made and (longest is None or len(made) <= longest):
                    break
            return made

        return value

    def _json(self, column: Column) -> Make:
        words = pool("word", self._seed)
        stream = Stream(self._seed, self._table, column.name)
        many = column.name.lower().endswith("s") and not re.search(
            r"(settings|params|parameters|options|attributes|credentials|preferences|details|headers)$",
            column.name.lower(),
        )
        texts = pool(kind_of(column.name, self._table).name, self._seed)

        def value(row: int, shift: int) -> str:
            if many:
                first, second = (texts[stream.permuted(row + step, len(texts))] for step in (0, 1))
                return f'["{first}", "{second}"]'
            word = words[stream.permuted(row, len(words))]
            return f'{{"name": "{word}", "count": {1 + stream.below(row, 50)}, "tags": ["{words[row % len(words)]}"]}}'

        return value

    def _array(self, column: Column, stream: Stream) -> Make:
        element = self._part(column, column.type.element)
        # A box is printed with commas of its own (pg_type.typdelim).
        between = ";" if self._types[column.type.element].name == "box" else ","

        def value(row: int, shift: int) -> str:
            items = [element(row * 3 + step, shift) or "" for step in range(1 + stream.below(row, 2, 3))]
            return "{" + between.join(_quoted(item) for item in items) + "}"

        return value

    def _range(self, column: Column, hint: Hint, stream: Stream, distinct: bool) -> Make:
        """Ranges that never overlap: row n covers a stretch of its own."""
        subtype = self._types[column.type.element].name

        def value(row: int, shift: int) -> str:
            if subtype in TIMES:
                start = moment(self._clock, stream, "start", 4 * row, windows=(), distinct=True)
                layout = "%Y-%m-%d" if subtype == "date" else "%Y-%m-%d %H:%M:%S"
                return f'["{start.strftime(layout)}","{(start + timedelta(days=1)).strftime(layout)}")'
            return f"[{row * 10 + 1},{row * 10 + 6})"

        return value

    def _composite(self, column: Column) -> Make:
        parts = [self._part(column, oid, typmod) for oid, typmod in column.type.attributes]
        return lambda row, shift: "(" + ",".join(_quoted(part(row, shift) or "") for part in parts) + ")"

    def _part(self, column: Column, oid: int, typmod: int | None = None) -> Make:
        """Values of an element or attribute, as the CHECKs of its own domain ask."""
        checks, kind = [], self._types[oid]
        while kind.kind == "d":
            checks += [Check(kind.name, ("VALUE",), text) for text in kind.checks]
            kind = self._types[kind.base]
        hint = read_hints(checks).get("VALUE", NO_HINT) if checks else NO_HINT
        return self.make(self._of_type(column, oid, typmod), hint)

    def _of_type(self, column: Column, oid: int, typmod: int | None = None) -> Column:
        """The column as if it were of another type: an array's element, a range's subtype, an attribute."""
        kind = self._types[oid]
        modifier = column.typmod if typmod is None else typmod
        while kind.kind == "d":
            modifier = kind.typmod if modifier == -1 else modifier
            kind = self._types[kind.base]
        return replace(column, type=kind, typmod=modifier, not_null=True)


def pattern_example(pattern: str, stream: Stream, row: int, turn: int) -> str | None:
    """A string for a regular expression, None when the expression cannot be read."""
    calls = 0

    def pick(bound: int) -> int:
        nonlocal calls
        calls += 1
        return stream.below(row, bound, 1000 * turn + calls)

    try:
        return example(pattern, pick)
    except (PatternError, RecursionError):
        return None


def _matches(pattern: str, text: str) -> bool:
    """Whether the name's own texts already look as the pattern asks; a pattern Python cannot read says no."""
    try:
        return re.search(re.sub(r"\[:(\w+):\]", lambda m: _CLASSES.get(m[1], "a-z"), pattern), text) is not None
    except re.error:
        return False


_CLASSES = {"alpha": "a-zA-Z", "alnum": "a-zA-Z0-9", "digit": "0-9", "upper": "A-Z", "space": " ", "xdigit": "0-9a-f"}


def _numbered(text: str, mark: str) -> str:
    """``text`` made different: before the @ of an e-mail address, else at the end."""
    at = text.find("@")
    if at > 0:
        return f"{text[:at]}{mark}{text[at:]}"
    return f"{text}{'' if text[-1:].isdigit() else ' ' if ' ' in text else '-'}{mark}"


def _code(row: int, length: int) -> str:
    out = ""
    for _ in range(length):
        row, digit = divmod(row, len(_ALPHABET))
        out = _ALPHABET[digit] + out
    return out


def _literal_default(column: Column) -> str | None:
    """The default when it is a plain string constant."""
    flat = tokens(column.default) if column.default else []
    return unquote(flat[0]) if len(flat) == 1 and is_string(flat[0]) else None


def _quoted(item: str) -> str:
    if item and re.fullmatch(r"[\w.+-]+", item) and item.upper() != "NULL":
        return item
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
