"""Rows from a user's own function (``pytest_pgmigrate.seeds``): called, checked, brought into text form."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

import psycopg
from psycopg.pq import TransactionStatus

from pytest_pgmigrate.model.seeding import Factory, SeedContext
from pytest_pgmigrate.seeding.draw import Stream
from pytest_pgmigrate.seeding.given import faker, text_of
from pytest_pgmigrate.seeding.session import Session, describe
from pytest_pgmigrate.seeding.shape import Row, Table
from pytest_pgmigrate.seeding.wishes import Unusable


def rows_of(
    factory: Factory, session: Session, table: Table, seed: int, version: str
) -> Callable[[int, int], list[Row]]:
    """The function that a Table carries: (rows wanted, rows there are) to rows. It raises Unusable."""
    name = str(table.ident)
    said = f'seeds("{factory.table}") in {_short(factory.place)}'

    def call(rows: int, existing: int) -> list[Row]:
        number = Stream(seed, name, "@factory", version).number(existing)
        faker().seed_instance(number)
        # Fake data: no secret depends on it.
        chance = random.Random(number)  # noqa: S311
        context = SeedContext(session.connection, version, name, rows, existing, faker(), chance)
        try:
            given = list(islice(factory.function(context), rows))
        except Exception as error:  # the user's code: whatever it raises is said of its table
            _recover(session)
            raise Unusable(f"{said} failed: {_words(error)}") from error
        if session.connection.info.transaction_status is TransactionStatus.INERROR:
            _recover(session)
            raise Unusable(f"{said} left its transaction aborted by an SQL error")
        return [_row(table, said, row) for row in given]

    return call


def _recover(session: Session) -> None:
    """What the function did of its own is undone; a connection it has lost is an error of the whole seeding."""
    session.run("ROLLBACK TO SAVEPOINT pgmigrate_seed")


def _row(table: Table, said: str, row: object) -> Row:
    if not isinstance(row, Mapping):
        raise Unusable(f"{said} yields {type(row).__name__}, not a dict of column to value")
    for name in row:
        column = table.by_name.get(str(name))
        if column is None:
            raise Unusable(f"{said} gives {name!r}, a column that {table.ident} does not have")
        if column.generated:
            raise Unusable(f"{said} gives {name!r}, which the server generates")
    return {str(name): text_of(value, table.by_name[str(name)].type.category) for name, value in row.items()}


def _words(error: Exception) -> str:
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return describe(error)
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _short(place: str) -> str:
    file, _, line = place.rpartition(":")
    return f"{Path(file).name}:{line}"
