"""Values at the boundaries of a type: what an application seldom writes, though the column takes it."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.seeding.hints import NO_HINT, Hint
from pytest_pgmigrate.seeding.shape import Column
from pytest_pgmigrate.seeding.values import TEXT_TYPES, WHOLE, choices_of, mostly_null

LONG = 300
"""Characters of the longest text tried where the type sets no limit; index entries may be no longer than 2,704 bytes."""

CHOICES = 12
"""Labels of an enum, values of an IN list, or starts of partitions tried at most in one column."""

_MIXED = "Zoë 🙂 שלום é"
_QUOTES = 'O\'Brien "q" \\N \t\n%_'
_CONSTANTS: dict[str, tuple[tuple[str, str], ...]] = {
    "float4": (("NaN", "NaN"), ("infinity", "Infinity"), ("-infinity", "-Infinity"), ("-0", "-0")),
    "float8": (("NaN", "NaN"), ("infinity", "Infinity"), ("-infinity", "-Infinity"), ("-0", "-0")),
    "numeric": (("NaN", "NaN"),),
    "date": (
        ("infinity", "infinity"),
        ("-infinity", "-infinity"),
        ("BC", "0044-03-15 BC"),
        ("the year 9999", "9999-12-31"),
    ),
    "timestamp": (
        ("infinity", "infinity"),
        ("-infinity", "-infinity"),
        ("BC", "0044-03-15 00:00:00 BC"),
        ("the year 9999", "9999-12-31 23:59:59"),
    ),
    "time": (("24:00:00", "24:00:00"),),
    "interval": (("0", "0"), ("negative", "-1 day")),
    "json": (("null", "null"), ("{}", "{}"), ("[]", "[]")),
    "jsonb": (("null", "null"), ("{}", "{}"), ("[]", "[]")),
    "uuid": (("nil", "00000000-0000-0000-0000-000000000000"),),
    "bytea": (("''", "\\x"),),
    "inet": (("0.0.0.0/0", "0.0.0.0/0"), ("IPv6", "2001:db8::1/64")),
    "money": (("0", "0"), ("negative", "-1")),
}
_CONSTANTS["timestamptz"] = _CONSTANTS["timestamp"]
_NUMBERS = frozenset((*WHOLE, "numeric", "float4", "float8"))
_COMPARABLE = frozenset(("text", "varchar", "citext", "int2", "int4", "int8", "numeric", "date", "uuid"))

NULL = "NULL"
DUPLICATE = "a duplicate"
OTHER_CASE = "a duplicate in other case"


def edges(column: Column, existing: str | None, hint: Hint = NO_HINT) -> Iterator[tuple[str, str | None]]:
    """What to call a boundary value, and its text form. ``existing`` is a value that another row has.

    ``hint``: what CHECKs and partition bounds say of the column; each value that they list is one at a boundary too.
    """
    name, kind = column.type.name, column.type
    yield from listed(column, hint)
    if not column.not_null and not mostly_null(column):
        yield NULL, None
    if kind.category == "A":
        yield "{}", "{}"
        yield "{NULL}", "{NULL}"
    elif kind.kind == "r":
        yield "empty", "empty"
        yield "(,)", "(,)"
    elif name in TEXT_TYPES - {"char", "name"}:
        yield from _texts(column, existing)
    elif name in _NUMBERS:
        yield "0", "0"
        yield "-1", "-1"
        yield from _extremes(column)
    yield from _CONSTANTS.get(name, ()) if kind.category != "A" else ()
    if existing is not None and name in _COMPARABLE:
        yield DUPLICATE, existing


def listed(column: Column, hint: Hint) -> Iterator[tuple[str, str]]:
    """Labels of an enum, values of an IN list, the start of each partition."""
    if column.type.name != "bool":
        values = choices_of(column, hint) or [low for low, _ in hint.windows if low is not None]
        yield from ((repr(value), value) for value in list(dict.fromkeys(values))[:CHOICES])


def _texts(column: Column, existing: str | None) -> Iterator[tuple[str, str]]:
    limit = column.length or LONG
    yield "''", ""
    yield "blank", " "
    yield "emoji, accents and right-to-left", _MIXED[:limit]
    yield "quotes, backslash and line break", _QUOTES[:limit]
    yield f"{limit} characters", ("edge " * limit)[:limit]
    if existing and existing.upper() != existing:
        yield OTHER_CASE, existing.upper()[:limit]
    elif existing and existing.lower() != existing:
        yield OTHER_CASE, existing.lower()[:limit]


def _extremes(column: Column) -> Iterator[tuple[str, str]]:
    name = column.type.name
    if name in WHOLE:
        top = WHOLE[name] if name != "oid" else 2**32 - 1
        yield "the largest number", str(top)
        if name != "oid":
            yield "the smallest number", str(-top - 1)
    elif name == "numeric" and column.typmod > 4:
        precision = ((column.typmod - 4) >> 16) & 0xFFFF
        scale = (((column.typmod - 4) & 0x7FF) ^ 0x400) - 0x400
        digits = "9" * precision
        if 0 < scale < precision:
            digits = f"{digits[:-scale]}.{digits[-scale:]}"
        if 0 <= scale < precision:
            yield "the largest number", digits
    else:
        yield "a large number", "12345678901234.5678"
