"""The digests of all tables, each computed again only as far as its rows may read differently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.execution.states.catalogs import PG_CLASS
from pytest_pgmigrate.execution.states.digests import LARGE_OBJECTS, Sums, Target, read_large_objects, read_sums
from pytest_pgmigrate.model.state import TableDigest

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.catalog import Catalog
    from pytest_pgmigrate.execution.states.model import Column, Relation
    from pytest_pgmigrate.execution.states.wal import Touched


@dataclass(slots=True)
class Table:
    """A digest with what it was computed from; sums by column number, so that a new name costs nothing."""

    name: str
    file: int
    populated: bool
    key: tuple[int, ...]
    columns: tuple[Column, ...]
    sums: dict[int, int] = field(default_factory=dict)
    digest: TableDigest | None = None
    failure: str | None = None


class Tables:
    """Digests by OID."""

    def __init__(self) -> None:
        self._known: dict[int, Table] = {}
        self._of_file: dict[int, int] = {}
        """The table that a file belongs to, or belonged to."""
        self._always: set[int] = set()
        """Tables of which nothing tells that they did not change."""
        self._large: TableDigest | None = None
        self._named: tuple[dict[str, TableDigest], dict[str, str]] | None = None

    def update(self, connection: psycopg.Connection[Any], catalog: Catalog, touched: Touched | None) -> set[int]:
        """Look again at what may differ since the last time; ``touched`` None: at everything. Returns what was read."""
        rehash: set[int] = set()
        reshape: set[int] = set()
        for oid in self._candidates(catalog, touched):
            relation = catalog.relations.get(oid)
            if relation is None or not relation.holds_rows:
                continue
            known = self._known.get(oid)
            if known is None or touched is None or self._may_differ(catalog, relation, known, touched):
                rehash.add(oid)
            elif oid in catalog.refreshed:
                reshape.add(oid)
        gone = [oid for oid in catalog.refreshed if oid in self._known and not _holds_rows(catalog, oid)]
        for oid in gone:
            del self._known[oid]
            self._always.discard(oid)
        for oid in catalog.refreshed & catalog.relations.keys():
            relation = catalog.relations[oid]
            self._of_file[relation.file] = self._of_file[relation.toast] = oid
        if gone or rehash or reshape:
            self._named = None
        catalog.refreshed.clear()
        catalog.reread.clear()
        return self._read(connection, catalog, rehash, reshape, touched)

    def _candidates(self, catalog: Catalog, touched: Touched | None) -> Iterable[int]:
        """The tables to look at, so that a read costs what changed and not what there is."""
        if touched is None:
            return catalog.relations
        written = {self._of_file[file] for file in touched.files.keys() & self._of_file.keys()}
        return catalog.refreshed | catalog.reread | self._always | written

    def read_large_objects(self, connection: psycopg.Connection[Any]) -> None:
        """Digest the large objects, where the role may read them."""
        self._named = None
        try:
            self._large = read_large_objects(connection)
        except psycopg.errors.InsufficientPrivilege:
            self._large = None

    def by_name(self) -> tuple[dict[str, TableDigest], dict[str, str]]:
        """Digests by table, and the reasons of those that could not be read."""
        if self._named is None:
            digests = {table.name: table.digest for table in self._known.values() if table.digest is not None}
            if self._large is not None:
                digests[LARGE_OBJECTS] = self._large
            failures = {table.name: table.failure for table in self._known.values() if table.failure is not None}
            self._named = digests, failures
        return self._named

    def differing(self, connection: psycopg.Connection[Any], oids: Iterable[int]) -> bool:
        """Whether another server has other rows in one of these tables."""
        known = {oid: self._known[oid] for oid in oids if oid in self._known and self._known[oid].digest is not None}
        found, failed = read_sums(connection, {oid: _target(table, table.columns) for oid, table in known.items()})
        return bool(failed) or any(_digest(known[oid], sums) != known[oid].digest for oid, sums in found.items())

    def _may_differ(self, catalog: Catalog, relation: Relation, known: Table, touched: Touched) -> bool:
        return (
            known.file != relation.file
            or relation.file in touched.files
            or relation.toast in touched.files
            or relation.oid in catalog.reread
            or known.failure is not None
            or _unwatched(catalog, relation)
        )

    def _read(
        self,
        connection: psycopg.Connection[Any],
        catalog: Catalog,
        rehash: set[int],
        reshape: set[int],
        touched: Touched | None,
    ) -> set[int]:
        fresh: dict[int, Table] = {}
        targets: dict[int, Target] = {}
        for oid in (*rehash, *reshape):
            table = fresh[oid] = _table(catalog, oid)
            old = self._known.get(oid)
            columns = table.columns
            if oid in reshape and old is not None and old.digest is not None and old.digest.count == 0:
                columns = ()  # had no rows, and none were written
            elif oid in reshape and old is not None and _reusable(old, table):
                columns = _take_over(old, table)
            born = old is None and (PG_CLASS, oid) in catalog.mirror.born
            if (born or (old is not None and old.file != table.file)) and _empty(catalog.relations[oid], touched):
                columns = ()
            if columns and table.populated:
                targets[oid] = _target(table, columns)
            elif table.digest is None:
                table.sums = dict.fromkeys((column.number for column in table.columns), 0)
                table.digest = _digest(table, Sums(0, 0, ()))
        found, failed = read_sums(connection, targets)
        for oid, sums in found.items():
            table = fresh[oid]
            names = targets[oid].columns
            numbers = [column.number for column in table.columns if column.name in set(names)]
            table.sums.update(zip(numbers, sums.columns, strict=True))
            table.digest = _digest(table, Sums(sums.count, sums.rows, _in_order(table)))
        for oid, table in fresh.items():
            table.failure = failed.get(oid)
            if table.failure is not None or _unwatched(catalog, catalog.relations[oid]):
                self._always.add(oid)
            else:
                self._always.discard(oid)
            old = self._known.get(oid)
            if old is not None and old.digest == table.digest:
                table.digest = old.digest
            self._known[oid] = table
        return set(targets)


def read_tables(connection: psycopg.Connection[Any], catalog: Catalog) -> tuple[dict[str, TableDigest], dict[str, str]]:
    """Digests of all tables of a server from which unlogged tables cannot be read."""
    tables = Tables()
    logged = {oid: relation for oid, relation in catalog.relations.items() if not relation.unlogged}
    tables._read(connection, catalog, {oid for oid, relation in logged.items() if relation.holds_rows}, set(), None)
    return tables.by_name()


def _table(catalog: Catalog, oid: int) -> Table:
    relation = catalog.relations[oid]
    columns = catalog.columns.get(oid)
    live = columns.columns if columns else ()
    numbers = {column.name: column.number for column in live}
    key = tuple(numbers[name] for name in catalog.keys.get(oid, ()))
    return Table(relation.name, relation.file, relation.populated, key, live)


def _reusable(old: Table, new: Table) -> bool:
    # Without a key the digest is of whole rows, and another column makes it another one.
    same_rows = bool(old.key) or old.columns == new.columns
    return old.digest is not None and same_rows and old.key == new.key and old.populated == new.populated


def _take_over(old: Table, new: Table) -> tuple[Column, ...]:
    """Give ``new`` the sums of columns whose values cannot differ; returns the columns to compute."""
    vectors = {column.number: column.vector for column in old.columns}
    same = {column.number for column in new.columns if vectors.get(column.number) == column.vector}
    if not same >= set(new.key):
        return new.columns
    new.sums = {number: old.sums[number] for number in same if number in old.sums}
    # Column numbers are not used twice: in rows that nothing wrote since, a column with a new one is NULL.
    new.sums.update((c.number, 0) for c in new.columns if c.plain and c.number not in vectors)
    missing = tuple(column for column in new.columns if column.number not in new.sums)
    if not missing and old.digest is not None:
        new.digest = _digest(new, Sums(old.digest.count, old.digest.rows, _in_order(new)))
    return missing


def _target(table: Table, columns: Iterable[Column]) -> Target:
    names = {column.number: column.name for column in table.columns}
    return Target(
        table.name,
        tuple(column.name for column in columns),
        tuple(names[number] for number in table.key),
        tuple(names.values()),
    )


def _in_order(table: Table) -> tuple[int, ...]:
    return tuple(table.sums[column.number] for column in table.columns)


def _digest(table: Table, sums: Sums) -> TableDigest:
    names = [column.name for column in table.columns]
    columns: Mapping[str, int] = dict(zip(names, sums.columns or (0,) * len(names), strict=True))
    return TableDigest(sums.count, sums.rows, columns, bool(table.key))


def _holds_rows(catalog: Catalog, oid: int) -> bool:
    relation = catalog.relations.get(oid)
    return relation is not None and relation.holds_rows


def _empty(relation: Relation, touched: Touched | None) -> bool:
    """A file that is new since the last time and that nothing was written to."""
    if touched is None or relation.unlogged:
        return False
    return relation.file not in touched.files and relation.file not in touched.images


def _unwatched(catalog: Catalog, relation: Relation) -> bool:
    """WAL tells nothing of the table, or its text names objects of the catalog."""
    columns = catalog.columns.get(relation.oid)
    return relation.unlogged or (columns is not None and columns.named)
