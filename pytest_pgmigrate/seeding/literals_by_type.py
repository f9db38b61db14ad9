"""Text forms of less common built-in types and of common extensions' types (PostgreSQL manual, "Data Types")."""

from __future__ import annotations

from collections.abc import Callable

from pytest_pgmigrate.seeding.draw import Stream
from pytest_pgmigrate.seeding.shape import Column

Make = Callable[[int, int], "str | None"]


def uuid_text(number: int) -> str:
    """A version 4 UUID from 126 or fewer bits."""
    digits = f"{number & (1 << 128) - 1:032x}"
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[int(digits[16], 16) & 3]}{digits[17:20]}-{digits[20:]}"
    )


def make(column: Column, stream: Stream, distinct: bool) -> Make:
    """The value function for a type; one unknown here gives the row number as text, which its input may refuse."""
    name = column.type.name
    if name == "uuid":
        return lambda row, shift: uuid_text(stream.number(row) << 64 | stream.number(row, 1))
    if name == "bytea":
        return lambda row, shift: (
            f"\\x{stream.number(row):016x}{stream.number(row, 1):016x}{stream.number(row, 2):08x}"[:42]
        )
    if name in ("bit", "varbit"):
        return _bits(column, stream, distinct)
    if name == "interval":
        return lambda row, shift: (
            f"{1 + (row if distinct else stream.below(row, 28))} days {stream.below(row, 24, 1):02d}:00:00"
        )
    if name in ("vector", "halfvec"):
        size = column.typmod if column.typmod > 0 else 3
        return lambda row, shift: "[" + ",".join(str(stream.below(row, 100, step)) for step in range(size)) + "]"
    form = _FORMS.get(name)
    return form if form is not None else lambda row, shift: str(row + 1)


def _bits(column: Column, stream: Stream, distinct: bool) -> Make:
    size = column.length or 8

    def value(row: int, shift: int) -> str:
        number = row if distinct else stream.number(row)
        return f"{number % (1 << min(size, 62)):0{size}b}"

    return value


def _octets(row: int) -> str:
    return f"{row >> 16 & 255}.{row >> 8 & 255}.{row & 255}"


def _constant(text: str) -> Make:
    return lambda row, shift: text


_FORMS: dict[str, Make] = {
    "inet": lambda row, shift: f"10.{_octets(row + 1)}",
    "cidr": lambda row, shift: f"10.{(row + 1) >> 8 & 255}.{(row + 1) & 255}.0/24",
    "macaddr": lambda row, shift: f"02:00:5e:{row >> 16 & 255:02x}:{row >> 8 & 255:02x}:{row & 255:02x}",
    "macaddr8": lambda row, shift: f"02:00:5e:ff:fe:{row >> 16 & 255:02x}:{row >> 8 & 255:02x}:{row & 255:02x}",
    "tsvector": lambda row, shift: f"'fox':2 'quick':1 'row{row}':3",
    "tsquery": lambda row, shift: f"'fox' & 'row{row}'",
    "xml": lambda row, shift: f"<item><id>{row + 1}</id></item>",
    "point": lambda row, shift: f"({row + 1},{row % 7})",
    "line": lambda row, shift: f"{{1,-1,{row}}}",
    "lseg": lambda row, shift: f"[({row},0),({row + 1},1)]",
    "box": lambda row, shift: f"({row * 3 + 1},1),({row * 3},0)",
    "path": lambda row, shift: f"[({row},0),({row + 1},1),({row + 2},0)]",
    "polygon": lambda row, shift: f"(({row * 3},0),({row * 3 + 1},1),({row * 3 + 2},0))",
    "circle": lambda row, shift: f"<({row * 3},0),1>",
    "pg_lsn": lambda row, shift: f"0/{0x1000000 + row:X}",
    "pg_snapshot": lambda row, shift: f"{row + 1}:{row + 1}:",
    "txid_snapshot": lambda row, shift: f"{row + 1}:{row + 1}:",
    "tid": lambda row, shift: f"({row},1)",
    "jsonpath": lambda row, shift: f'$."item{row}"',
    "regclass": _constant("pg_class"),
    "regtype": _constant("integer"),
    "regproc": _constant("now"),
    "regprocedure": _constant("now()"),
    "regoper": _constant("||/"),
    "regoperator": _constant("+(integer,integer)"),
    "regrole": _constant("pg_monitor"),
    "regnamespace": _constant("pg_catalog"),
    "regconfig": _constant("english"),
    "regdictionary": _constant("simple"),
    "regcollation": _constant('"C"'),
    "hstore": lambda row, shift: f'"key"=>"value{row}"',
    "ltree": lambda row, shift: f"top.branch.leaf{row}",
    "lquery": lambda row, shift: f"top.*.leaf{row}",
    "ltxtquery": lambda row, shift: f"leaf{row}",
    "cube": lambda row, shift: f"({row}, {row + 1})",
    "seg": lambda row, shift: f"{row} .. {row + 1}",
    "isbn": _constant("0-393-04002-X"),
    "ean13": _constant("978-0-393-04002-9"),
    "geometry": lambda row, shift: f"POINT({row % 180} {row % 90})",
    "geography": lambda row, shift: f"POINT({row % 180} {row % 90})",
}
