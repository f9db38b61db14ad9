"""What users give for seeding beside the seed file: SQL scripts per version, and factories of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.model.migration import Script

if TYPE_CHECKING:
    import random

    import faker
    import psycopg


@dataclass(frozen=True, slots=True)
class SeedScript:
    """``seed/000012.before.sql``: run ``before`` or ``after`` tables are filled at ``version``, "" for every filling."""

    script: Script
    when: str
    version: str


@dataclass(frozen=True, slots=True)
class SeedContext:
    """What a factory is given.

    ``connection`` is to the database at ``version``, inside the transaction in which tables are filled; ``rows`` are
    wanted, ``existing`` are in the table already; ``faker`` and ``random`` are seeded, so that the same seed gives the
    same rows.
    """

    connection: psycopg.Connection[Any]
    version: str
    table: str
    rows: int
    existing: int
    faker: faker.Faker
    random: random.Random


Rows = Iterable[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Factory:
    """A user's function that makes the rows of one table. Made by the ``seeds`` decorator; ``place`` is file:line."""

    table: str
    function: Callable[[SeedContext], Rows]
    place: str


def seeds(table: str) -> Callable[[Callable[[SeedContext], Rows]], Factory]:
    """Turn a generator function into the factory of ``table`` (``orders`` or ``shop.orders``).

    It takes a SeedContext and yields one dict a row, column to value; columns left out are filled as usual. Return it
    from the hook ``pytest_pgmigrate_factories``. Raises TypeError where ``table`` is no name.
    """
    if not isinstance(table, str) or not table:
        raise TypeError('seeds takes the name of a table: @seeds("orders")')

    def decorate(function: Callable[[SeedContext], Rows]) -> Factory:
        code = getattr(function, "__code__", None)
        place = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(function)
        return Factory(table, function, place)

    return decorate
