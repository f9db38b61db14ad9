"""Values for a column of many rows: the first rows have them by now, the server gives theirs to the others."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from pytest_pgmigrate.seeding.load import Stored
from pytest_pgmigrate.seeding.session import Session, describe
from pytest_pgmigrate.seeding.shape import Column, Row, Table, quote_identifier, quote_literal


def spread(session: Session, table: Table, identity: Sequence[str], targets: Sequence[Column], last: Row) -> Stored:
    """Give every row that comes after ``last`` the values of one of the rows up to it; how many rows, or why none.

    Rows come in the order in which ``links.read_rows`` gives them. Values that a unique index or a CHECK across columns
    makes a row's own are refused as a whole.
    """
    order = ", ".join(map(_ordered, identity))
    later = after(identity, targets, last)
    number = f"row_number() OVER (ORDER BY {order}) - 1"
    values = ", ".join(f"{column.quoted} AS new{at}" for at, column in enumerate(targets))
    sets = ", ".join(f"{column.quoted} = pool.new{at}" for at, column in enumerate(targets))
    only = table.ident.only
    result = session.attempt(
        f"WITH pool AS MATERIALIZED (SELECT {values}, {number} AS n FROM {only} WHERE NOT {later}),"
        f" rest AS MATERIALIZED (SELECT tableoid AS t, ctid AS c, ({number}) % (SELECT count(*) FROM pool) AS n"
        f" FROM {only} WHERE {later})"
        f" UPDATE {only} AS target SET {sets} FROM pool, rest"
        " WHERE target.tableoid = rest.t AND target.ctid = rest.c AND pool.n = rest.n"
    )
    if isinstance(result, psycopg.Error):
        return Stored(0, describe(result))
    return Stored(result if isinstance(result, int) else 0)


def after(identity: Sequence[str], targets: Sequence[Column], last: Row) -> str:
    """The condition that a row comes after ``last`` in the order of ``links.read_rows``.

    Without a key rows change places as they are written; those that still have no value are the ones to come.
    """
    if "ctid" in identity:
        return f"({' AND '.join(f'{column.quoted} IS NULL' for column in targets)})"
    order, until = ", ".join(map(_ordered, identity)), ", ".join(quote_literal(last[name]) for name in identity)
    return f"(({order}) > ({until}))"


def _ordered(name: str) -> str:
    return quote_identifier(name) if name == "ctid" else f'{quote_identifier(name)}::text COLLATE "C"'
