"""Values of the columns that the user's seed file speaks of."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.seeding.draw import Stream
from pytest_pgmigrate.seeding.session import Session, describe
from pytest_pgmigrate.seeding.shape import Column, Row, Table
from pytest_pgmigrate.seeding.wishes import Given, Unusable

if TYPE_CHECKING:
    from faker import Faker

Make = Callable[[int, int], "str | None"]

BATCH = 2000
_TRIES = 40
"""How often Faker is asked for a value that no other row has, before a number is put behind it."""


@lru_cache(maxsize=1)
def faker() -> Faker:
    """One instance for all columns: it is seeded anew for every value."""
    from faker import Faker

    return Faker("en_US", use_weighting=False)


def provider(name: str) -> Callable[..., Any] | None:
    """A method of Faker that makes a value, None when there is none of this name."""
    if name.startswith("_") or name.startswith("seed") or not name.isidentifier():
        return None
    try:
        found = getattr(faker(), name, None)
    except TypeError:  # ``Faker.seed`` and the like are for the class
        return None
    return found if callable(found) and name not in ("add_provider", "get_providers", "items", "format") else None


def text_of(value: object, kind: str) -> str | None:
    """A Python value in the form a column of this type category (pg_type.typcategory, A for arrays) reads.

    Raises Unusable for a value that has no such form.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "\\x" + bytes(value).hex()
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (list, tuple, set, frozenset)) and kind == "A":
        return "{" + ",".join(_element(item) for item in value) + "}"
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        plain = list(value) if isinstance(value, (set, frozenset)) else value
        return json.dumps(plain, default=str)
    return str(value)


def _element(value: object) -> str:
    text = text_of(value, "A")
    if text is None:
        return "NULL"
    if isinstance(value, (list, tuple)):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def null_drawn(seed: int, table: str, column: str, rate: float, row: int) -> bool:
    """Whether this row has no value, by the user's ``null_rate``."""
    return Stream(seed, table, column, "@null").below(row, 1_000_000) < rate * 1_000_000


def from_faker(seed: int, table: str, column: Column, name: str, arguments: Mapping[str, Any], distinct: bool) -> Make:
    """Values of a Faker provider, each from a seed of its own, so that no other column or row decides it.

    The function raises Unusable when Faker refuses the arguments.
    """
    stream = Stream(seed, table, column.name, "@faker")
    make = provider(name)
    holders: dict[str, int] = {}

    def once(row: int, turn: int) -> str | None:
        faker().seed_instance(stream.number(row, turn))
        try:
            value = make(**arguments) if make is not None else None
        except Exception as error:  # whatever the provider raises, it is about the user's arguments
            raise Unusable(f"faker.{name} for {table}.{column.name}: {type(error).__name__}: {error}") from error
        text = text_of(value, column.type.category)
        # A text too long is no reason to leave the table empty; only character types have a length.
        return text[: column.length] if text is not None and column.length is not None else text

    def value(row: int, shift: int) -> str | None:
        text = once(row, 0)
        for turn in range(1, _TRIES if distinct else 0):
            if text is None or holders.setdefault(text, row) == row:
                return text
            text = once(row, turn)
        return text

    return value


def made(seed: int, table: str, column: Column, base: Make | None, distinct: bool, given: Given) -> Make | None:
    """The value function of a column of which the user says something; ``base`` is what it would be otherwise.

    None when the values come from the server (``sql``).
    """
    make = base
    if given.sql:
        return None
    if given.faker:
        make = from_faker(seed, table, column, given.faker, given.arguments, distinct)
    elif given.choices is not None and base is None:
        stream, few = Stream(seed, table, column.name), given.choices
        make = lambda row, shift: few[(stream.permuted(row, len(few)) + shift) % len(few)]  # noqa: E731
    rate, inner = given.null_rate, make
    if not rate or column.not_null or inner is None:
        return make
    return lambda row, shift: None if null_drawn(seed, table, column.name, rate, row) else inner(row, shift)


def add_sql(session: Session, table: Table, seed: int, first: int, rows: Sequence[Row]) -> None:
    """Give ``rows`` (of number ``first``, ``first`` + 1, … from 0) the values of the columns that have an SQL expression.

    Columns that a row has already stay. Raises Unusable with the server's words when an expression fails.
    """
    for name, given in table.given.items():
        column = table.by_name.get(name)
        if not given.sql or column is None:
            continue
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            text = (
                f"SELECT (({given.sql})::{column.type.text})::text "
                f"FROM generate_series({first + start + 1}::bigint, {first + start + len(part)}::bigint) i ORDER BY i"
            )
            result = session.attempt(text)
            if isinstance(result, psycopg.Error):
                raise Unusable(f"the SQL of {table.ident}.{name} fails: {describe(result)}: {given.sql}")
            if not isinstance(result, list) or len(result) != len(part):
                raise Unusable(f"the SQL of {table.ident}.{name} is no expression of one value a row: {given.sql}")
            for number, (row, (value,)) in enumerate(zip(part, result, strict=True), start=first + start):
                rate = 0.0 if column.not_null else given.null_rate or 0.0
                drawn = rate and null_drawn(seed, str(table.ident), name, rate, number)
                row.setdefault(name, None if drawn else value)
