"""Digests of tables: exact for every type, independent of the order of rows, and telling which columns differ.

A value's hash is seeded with the hash of its row's key, so that values swapped between two rows do not cancel out;
hashes are summed as ``numeric``, which cannot overflow. ``hashtextextended`` is PostgreSQL's own 64-bit hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.model.state import TableDigest

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.model import Columns, Relation

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
    """A table to digest: its name quoted, its columns, and its key (empty: the whole row)."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    populated: bool = True

    @classmethod
    def of(cls, relation: Relation, columns: Columns | None, key: Sequence[str]) -> Target:
        """The target for a relation."""
        return cls(relation.name, columns.names if columns else (), tuple(key), relation.populated)


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
    """The statement that gives one array of text: count, sum over whole rows, one sum per column."""
    alias = _free("pgmigrate_key", target.columns)
    sums = [f"sum({chain(sorted(target.columns))})"]
    # NULL has a hash of its own, made of the seed.
    null = f"hashint8extended({alias}, 1)"
    sums += [f"sum(coalesce(hashtextextended({text_of(column)}, {alias}), {null}))" for column in target.columns]
    key = chain(target.key) if target.key else "0::int8"
    # OFFSET 0 keeps the key's hash from being computed once per column.
    source = f"(select t.*, {key} as {alias} from only {target.name} t offset 0) t"
    return f"select array[count(*), {', '.join(sums)}]::text from {source}"


def read_digests(
    connection: psycopg.Connection[Any], targets: Mapping[int, Target]
) -> tuple[dict[int, TableDigest], dict[int, str]]:
    """Digests by OID, and the reason for each table that could not be read."""
    found: dict[int, TableDigest] = {}
    failed: dict[int, str] = {}
    pending = dict(targets)
    for oid, target in targets.items():
        if not target.populated:
            # A materialized view WITH NO DATA cannot be read; that it is so is an attribute of the object.
            found[oid] = TableDigest(0, 0, dict.fromkeys(target.columns, 0), bool(target.key))
            del pending[oid]
    for batch in _batches(pending):
        try:
            found.update(_read(connection, batch))
        except psycopg.Error as error:
            if connection.closed:
                raise
            if len(batch) == 1:
                failed[next(iter(batch))] = _reason(error)
                continue
            for oid, target in batch.items():
                one, reasons = read_digests(connection, {oid: target})
                found.update(one)
                failed.update(reasons)
    return found, failed


def read_large_objects(connection: psycopg.Connection[Any]) -> TableDigest:
    """Large objects as if they were a table. Raises psycopg.Error where pg_largeobject may not be read."""
    row = connection.execute(_LARGE_OBJECTS).fetchone()
    assert row is not None
    return TableDigest(row[0], int(row[2]), {}, True)


def _read(connection: psycopg.Connection[Any], batch: Mapping[int, Target]) -> Iterator[tuple[int, TableDigest]]:
    statements = [statement(target) for target in batch.values()]
    if len(statements) > 1:
        statements = [f"({text})" for text in statements]
    query = statements[0] if len(statements) == 1 else "select " + ", ".join(statements)
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    found = []
    for (oid, target), text in zip(batch.items(), row, strict=True):
        numbers = [0 if number == "NULL" else int(number) for number in text[1:-1].split(",")]
        columns = dict(zip(target.columns, numbers[2:], strict=True))
        found.append((oid, TableDigest(numbers[0], numbers[1], columns, bool(target.key))))
    return iter(found)


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


def _reason(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).splitlines()[0]
