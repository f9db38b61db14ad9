"""Many rows, made by the server from the first ones: those are the pool, what must differ is counted up."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg

from pytest_pgmigrate.seeding.hints import NO_HINT
from pytest_pgmigrate.seeding.names import kind_of
from pytest_pgmigrate.seeding.rows import RowBuilder
from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import Column, Table, quote_identifier, quote_literal
from pytest_pgmigrate.seeding.values import TEXT_TYPES, WHOLE

BULK_FROM = 2000
"""Below so many rows the server is not worth asking: a client makes them as fast."""

POOL = 1000
CHUNK = 200_000
"""Rows per statement, far within the session's statement_timeout."""

_DIGITS = 8
_NUMBER = '"pgmigrate n"'
_STEP = '"pgmigrate step"'
_POOL = '"pgmigrate pool"'
_BASE = '"pgmigrate base"'
_DIGITS_OF = '"pgmigrate digits"'


def grow(session: Session, table: Table, builder: RowBuilder, count: int) -> int:
    """Add up to ``count`` rows like those the table has; how many went in. 0 where uniqueness cannot be counted up.

    Columns of no unique index are copied from one pool row together, so whatever held between them holds again;
    the CHECKs about the others are asked once more.
    """
    if table.generated_by_user & _numbered_by_user(table, builder):
        return 0  # what the user's way makes of a row's number is known for rows made one by one only
    fresh = _expressions(table, builder)
    pairs = _pairs(session, builder) if builder.finite else _Pairs()
    if fresh is None or pairs is None or count < 1:
        return 0
    fresh |= pairs.values
    pool = session.query(f"SELECT count(*) FROM (SELECT FROM {table.ident.only} LIMIT {POOL}) first")[0][0]
    added = first = 0
    skip = not any(unique.deferrable for unique in table.uniques)
    while added < count and first < min(pairs.capacity, 2 * count + POOL):
        size = min(CHUNK, count - added)
        statement = _statement(table, builder, fresh, (first, size, pool), pairs.joins)
        # Without ON CONFLICT an INSERT is a third faster, and the values are made to differ.
        result = session.attempt(statement)
        if isinstance(result, psycopg.Error) and skip:
            result = session.attempt(f"{statement} ON CONFLICT DO NOTHING")
        if not isinstance(result, int) or not result:
            break
        added += result
        first += size
    return added


def _numbered_by_user(table: Table, builder: RowBuilder) -> frozenset[str]:
    """Columns that cannot be copied from a pool row, and whose values would be the user's: unique ones, SQL of ``i``."""
    finite = {column for unique in builder.finite for column in unique.columns}
    return builder.distinct | finite | {name for name, given in table.given.items() if given.sql}


def _expressions(table: Table, builder: RowBuilder) -> dict[str, str] | None:
    """An expression for every column that must differ, None when there is one for which none is known."""
    if builder.spans:
        return None
    checked = {name for check in table.checks for name in check.columns}
    found = {name: f"nextval({quote_literal(sequence)})" for name, sequence in builder.sequences.items()}
    for column in builder.insertable:
        if column.name in found or column.name in builder.linked:
            continue
        if column.name in builder.distinct:
            expression = _different(column)
            if expression is None:
                return None
            found[column.name] = expression
        elif _identifies(column, table, builder) and column.name not in checked | table.generated_by_user:
            found[column.name] = _text(column)
    return found


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Combinations of parents, each once: joins that number the parents' rows, and the columns they give."""

    joins: str = ""
    values: dict[str, str] = field(default_factory=dict)
    capacity: int = 1 << 62


def _pairs(session: Session, builder: RowBuilder) -> _Pairs | None:
    joins, values, capacity = "", {}, 1
    for number, (key, parent) in enumerate(builder.junction()):
        (column, reference) = key.pairs[0]
        quoted, name = quote_identifier(reference), f'"pgmigrate parent{number}"'
        known = f"FROM {parent.only} WHERE {quoted} IS NOT NULL"
        size = session.query(f"SELECT count(*) {known}")[0][0]
        if not size:
            return None
        # Digits of the row's number, the second one turned a little by the first: no two rows have all the same.
        turned = f" + {_NUMBER} % {capacity} * 7" if number == 1 else ""
        joins += (
            f' JOIN (SELECT {quoted}, row_number() OVER (ORDER BY {quoted}::text COLLATE "C") - 1 AS r {known}) {name} '
            f"ON {name}.r = ({_NUMBER} / {capacity}{turned}) % {size}"
        )
        values[column] = f"{name}.{quoted}"
        capacity *= size
    return _Pairs(joins, values, capacity) if values else None


def _identifies(column: Column, table: Table, builder: RowBuilder) -> bool:
    """Whether the values differ in every row although no index asks for it, as e-mail addresses do."""
    few = builder.hints.get(column.name, NO_HINT).choices
    return column.type.name in TEXT_TYPES and not few and kind_of(column.name, str(table.ident)).identity


def _different(column: Column) -> str | None:
    name, quoted = column.type.name, f"{_POOL}.{column.quoted}"
    if name in WHOLE or name in ("numeric", "float4", "float8"):
        return f"({_BASE}.{column.quoted} + {_STEP})::{column.type.text}"
    if name in ("timestamp", "timestamptz"):
        return f"{_BASE}.{column.quoted} + {_STEP} * interval '1 second'"
    if name == "date":
        return f"({_BASE}.{column.quoted} + {_STEP}::int)"
    if name in TEXT_TYPES - {"name", "char"}:
        return _text(column)
    known = {
        "uuid": f"md5({quoted}::text || {_NUMBER})::uuid",
        "bytea": f"substring({quoted} FROM 1 FOR greatest(length({quoted}) - 8, 0)) || int8send({_NUMBER})",
        "inet": f"inet '10.0.0.0' + 65536 + {_NUMBER}",
        "interval": f"{_BASE}.{column.quoted} + {_STEP} * interval '1 second'",
        "macaddr": f"('06' || lpad(to_hex({_NUMBER}), 10, '0'))::macaddr",
    }
    return known.get(name)


def _text(column: Column) -> str:
    """The pool row's text with a number of fixed width in it: before the @ of an address, else at the end."""
    return f"{_POOL}.{_part('a', column)} || {_DIGITS_OF} || {_POOL}.{_part('b', column)}"


def _part(which: str, column: Column) -> str:
    """The name of the pool's column for the text before (a) or after (b) the number."""
    return f'"pgmigrate {which}{column.number}"'


def _parts(column: Column) -> str:
    """The text cut in two, once for every pool row; short enough for the column with the number between."""
    value = f"{column.quoted}::text"
    at = f"CASE WHEN strpos({value}, '@') > 1 THEN strpos({value}, '@') ELSE length({value}) + 1 END"
    before, after = f"left({value}, {at} - 1)", f"substr({value}, {at})"
    if column.length is not None:
        before = f"left({before}, greatest({column.length - _DIGITS} - length({after}), 0))"
    return f"{before} AS {_part('a', column)}, {after} AS {_part('b', column)}"


def _statement(table: Table, builder: RowBuilder, fresh: dict[str, str], part: tuple[int, int, int], joins: str) -> str:
    """The INSERT of ``part`` = (first row, rows, rows of the pool). Names of our own are such as no table has."""
    first, size, pool = part
    columns = builder.insertable
    highest = [column for column in columns if f"{_BASE}.{column.quoted}" in fresh.get(column.name, "")]
    names = ", ".join(column.quoted for column in columns)
    made = ", ".join(f"{fresh.get(one.name, f'{_POOL}.{one.quoted}')} AS {one.quoted}" for one in columns)
    base = ", ".join(f"max({column.quoted}) AS {column.quoted}" for column in highest)
    base = f"SELECT {base} FROM {table.ident.only}" if base else "SELECT"
    cut = "".join(f", {_parts(column)}" for column in columns if _DIGITS_OF in fresh.get(column.name, ""))
    checks = [check for check in table.checks if set(check.columns) & fresh.keys()]
    where = " AND ".join(f"(({check.expression}) IS NOT FALSE)" for check in checks) or "true"
    return (
        f"WITH {_POOL} AS MATERIALIZED ("
        f'SELECT row_number() OVER () - 1 AS "pgmigrate k", *{cut} FROM '
        # The pool's rows are the table's first: at worst each has a block of its own.
        f"(SELECT {names} FROM {table.ident.only} WHERE ctid < '({POOL},0)' ORDER BY tableoid, ctid LIMIT {POOL}) first), "
        f"{_BASE} AS MATERIALIZED ({base}) "
        f"INSERT INTO {table.ident.quoted} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM (SELECT {made} "
        f"FROM (SELECT g AS {_STEP}, {first} + g AS {_NUMBER}, ({10 ** (_DIGITS - 1)} + {first} + g)::text AS {_DIGITS_OF} "
        f"FROM generate_series(1, {size}) g OFFSET 0) numbers CROSS JOIN {_BASE} "
        f'JOIN {_POOL} ON {_POOL}."pgmigrate k" = {_NUMBER} % {pool}{joins}) '
        f'"{table.ident.name.replace(chr(34), chr(34) * 2)}" WHERE {where}'
    )
