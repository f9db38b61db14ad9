"""Digests of tables: exact for every type, independent of the order of rows, and telling which columns differ.

A value's hash is seeded with the hash of its row's key, so that values swapped between two rows do not cancel out;
hashes are summed as ``numeric``, which cannot overflow. ``hashtextextended`` is PostgreSQL's own 64-bit hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from pytest_pgmigrate.model.state import TableDigest

LARGE_OBJECTS = "pg_largeobject"
"""The name under which large objects appear among the tables."""

_BATCH_TABLES = 20
_BATCH_COLUMNS = 300
_LARGE_OBJECTS = """
    select (select count(*) from pg_largeobject_metadata), count(*),
        coalesce(sum(hashtextextended(encode(data, 'hex'), hashint8extended(loid::int8, pageno))), 0)
    from pg_largeobject
"""


@dataclass(frozen=True, slots=True)
class Target:
    """What to compute of a table: sums of ``columns``, keyed by ``key`` (empty: the whole row is its own key)."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    everything: tuple[str, ...]
    """All columns, for the digest of whole rows of a table without a key."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Count of rows, digest of keys or whole rows, and a sum per column asked for."""

    count: int
    rows: int
    columns: tuple[int, ...]


def quote(name: str) -> str:
    """An SQL identifier, always delimited."""
    return '"' + name.replace('"', '""') + '"'


def text_of(column: str, table: str = "t") -> str:
    """A value as text. The "C" collation: others may hash different texts alike, and the text must not differ."""
    return f'{table}.{quote(column)}::text collate pg_catalog."C"'


def chain(columns: Iterable[str], table: str = "t") -> str:
    """The hash of several values in this order; NULL is told from every text by the leading blank."""
    seed = "0::int8"
    for column in columns:
        seed = f"hashtextextended(coalesce(' ' || {text_of(column, table)}, ''), {seed})"
    return seed


def statement(target: Target) -> str:
    """The statement that gives one array of text: count, sum over keys or whole rows, one sum per column."""
    alias = _free("pgmigrate_key", target.everything)
    # NULL adds nothing to its column's sum, as any other value does.
    sums = [f"sum(hashtextextended({text_of(column)}, {alias}))" for column in target.columns]
    key = chain(target.key) if target.key else "0::int8"
    rows = alias if target.key else chain(sorted(target.everything))
    # OFFSET 0 keeps the key's hash from being computed once per column.
    needed = "".join(f"t.{quote(column)}, " for column in (target.columns if target.key else target.everything))
    source = f"(select {needed}{key} as {alias} from only {target.name} t offset 0) t"
    return f"select array[{', '.join(['count(*)', f'sum({rows})', *sums])}]::text from {source}"


def read_sums(
    connection: psycopg.Connection[Any], targets: Mapping[int, Target]
) -> tuple[dict[int, Sums], dict[int, str]]:
    """Sums by OID, and the reason for each table that could not be read."""
    found: dict[int, Sums] = {}
    failed: dict[int, str] = {}
    for batch in _batches(targets):
        try:
            found.update(_read(connection, batch))
        except psycopg.Error as error:
            if connection.closed:
                raise
            if len(batch) == 1:
                failed[next(iter(batch))] = error.diag.message_primary or str(error).splitlines()[0]
                continue
            for oid, target in batch.items():
                one, reasons = read_sums(connection, {oid: target})
                found.update(one)
                failed.update(reasons)
    return found, failed


def read_large_objects(connection: psycopg.Connection[Any]) -> TableDigest:
    """Large objects as if they were a table. Raises psycopg.Error where pg_largeobject may not be read."""
    row = connection.execute(_LARGE_OBJECTS).fetchone()
    assert row is not None
    return TableDigest(row[0], int(row[2]), {}, True)


def _read(connection: psycopg.Connection[Any], batch: Mapping[int, Target]) -> dict[int, Sums]:
    statements = [statement(target) for target in batch.values()]
    query = statements[0] if len(statements) == 1 else "select " + ", ".join(f"({text})" for text in statements)
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    found = {}
    for oid, text in zip(batch, row, strict=True):
        numbers = [0 if number == "NULL" else int(number) for number in text[1:-1].split(",")]
        found[oid] = Sums(numbers[0], numbers[1], tuple(numbers[2:]))
    return found


def _batches(targets: Mapping[int, Target]) -> Iterator[dict[int, Target]]:
    batch: dict[int, Target] = {}
    columns = 0
    for oid, target in targets.items():
        if batch and (len(batch) >= _BATCH_TABLES or columns + len(target.columns) > _BATCH_COLUMNS):
            yield batch
            batch, columns = {}, 0
        batch[oid] = target
        columns += len(target.columns)
    if batch:
        yield batch


def _free(name: str, columns: Iterable[str]) -> str:
    taken = set(columns)
    while name in taken:
        name += "_"
    return name
