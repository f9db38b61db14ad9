"""Values tried in a column when nothing likelier meets its CHECKs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_pgmigrate.seeding.draw import Stream
from pytest_pgmigrate.seeding.hints import literals
from pytest_pgmigrate.seeding.numbers import decimal_or_none
from pytest_pgmigrate.seeding.shape import Check, Column, Row

_STEPS = 12
_NUMBERS = frozenset(("int2", "int4", "int8", "numeric", "float4", "float8", "money", "oid"))

_CONSTANTS: dict[str, tuple[str, ...]] = {
    "inet": ("2001:db8::1", "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "127.0.0.1", "0.0.0.0/0"),
    "cidr": ("2001:db8::/32", "192.0.2.1/32", "192.0.2.0/24", "2001:db8::1/128", "10.0.0.0/8", "0.0.0.0/0"),
    "uuid": ("00000000-0000-0000-0000-000000000000",),
    "interval": ("0", "1 second", "1 hour", "1 day", "1 mon", "1 year", "-1 day"),
    "point": ("(0,0)", "(1,1)", "(-1,-1)"),
    "tsvector": ("", "'fox'"),
    "xml": ("<a/>", "text"),
}


def unlikely(column: Column, checks: Sequence[Check], rows: Sequence[Row]) -> Iterator[list[str | None]]:
    """Values per row, by the column's type and the constants its CHECKs mention."""
    strings, numbers = literals(text for check in checks for text in (check.alternatives or (check.expression,)))
    name, count = column.type.name, len(rows)
    if name == "bytea":
        for size in dict.fromkeys(int(text) + step for text in numbers if text.isdigit() for step in (0, 1, -1)):
            if 0 <= size <= 4096:
                yield [_bytes(column, row, size) for row in rows]
    elif name in _NUMBERS:
        known = [number for number in map(decimal_or_none, numbers) if number is not None]
        for step in range(1, _STEPS):
            for number in known:
                yield [f"{number + step:f}"] * count
                yield [f"{number - step:f}"] * count
        for step in range(_STEPS):
            yield [_moved(row.get(column.name), step) for row in rows]
    elif name == "hstore":
        for text in strings:
            yield [f'"{text}"=>"value"'] * count
        yield [", ".join(f'"{text}"=>"value"' for text in strings)] * count
    elif name == "ltree":
        for text in strings:
            yield [text] * count
    for constant in _CONSTANTS.get(name, ()):
        yield [constant] * count


def _bytes(column: Column, row: Row, size: int) -> str:
    """So many bytes, different for different rows."""
    stream = Stream(0, column.name, repr(sorted(row.items(), key=lambda item: item[0])))
    return "\\x" + "".join(f"{stream.number(at):016x}" for at in range(size // 8 + 1))[: 2 * size]


def _moved(value: str | None, step: int) -> str | None:
    number = decimal_or_none(value)
    return None if number is None else f"{number + step:f}"
