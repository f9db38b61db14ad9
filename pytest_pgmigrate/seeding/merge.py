"""Two versions of one schema as one: rows that are to fit both meet the constraints of both.

Tables and columns belong together by name. What the other version asks is added; a condition that this version cannot
evaluate (a type or function it does not have) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import psycopg

from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import (
    Catalog,
    Check,
    Column,
    ForeignKey,
    Table,
    TableName,
    TypeInfo,
    Unique,
    quote_literal,
)
from pytest_pgmigrate.seeding.values import TEXT_TYPES

FIRST_OWN_OID = 16384
"""Types with smaller OIDs are built in and the same in every database."""

_WIDTH = {"int2": 0, "int4": 1, "int8": 2, "numeric": 3, "float8": 3}


@dataclass(frozen=True, slots=True)
class Schema:
    """What the tables of one version ask of rows, by ``schema.table``; parents of foreign keys by name too."""

    tables: Mapping[str, Table]
    names: Mapping[int, str]
    types: Mapping[int, TypeInfo]

    @classmethod
    def of(cls, catalog: Catalog) -> Schema:
        """The schema of a catalog that was read whole."""
        tables = {str(table.ident): table for table in catalog.tables.values()}
        return cls(tables, {oid: str(name) for oid, name in catalog.names.items()}, catalog.types)


def merge(session: Session, catalog: Catalog, other: Schema) -> Catalog:
    """``catalog`` with what ``other`` asks of the same tables and columns."""
    oids = {str(name): oid for oid, name in catalog.names.items()}
    names = {oid: _linked(name, catalog, other, oids) for oid, name in catalog.names.items()}
    tables = {}
    for oid, table in catalog.tables.items():
        second = other.tables.get(str(table.ident))
        tables[oid] = replace(table, ident=names[oid])
        if second is not None:
            tables[oid] = _table(session, tables[oid], second)
    return Catalog(names, tables, {**other.types, **catalog.types})


def _linked(name: TableName, catalog: Catalog, other: Schema, oids: Mapping[str, int]) -> TableName:
    """The table's name with the foreign keys that only the other version declares."""
    table, second = catalog.tables.get(name.oid), other.tables.get(str(name))
    if table is None or second is None:
        return name
    declared = {key.columns for key in name.foreign_keys}
    found: list[ForeignKey] = []
    for key in second.ident.foreign_keys:
        parent = oids.get(other.names.get(key.parent, ""))
        known = parent is not None and set(key.columns) <= table.by_name.keys()
        if parent is not None and known and key.columns not in declared and _has(catalog, parent, key.referenced):
            found.append(replace(key, parent=parent))
    linked = {column for key in found for column in key.columns}
    implied = tuple(key for key in name.implied if not linked & set(key.columns))
    return replace(name, foreign_keys=(*name.foreign_keys, *found), implied=implied)


def _has(catalog: Catalog, oid: int, columns: tuple[str, ...]) -> bool:
    """Whether a table has these columns; one that is not to be filled is taken at its word."""
    table = catalog.tables.get(oid)
    return table is None or set(columns) <= table.by_name.keys()


def _table(session: Session, table: Table, second: Table) -> Table:
    # What the user says of a column holds, whatever another version asks of it.
    known = table.by_name.keys() - table.given.keys()
    named = {check.expression for check in table.checks}
    checks = [check for check in second.checks if set(check.columns) <= known and check.expression not in named]
    columns = []
    for column in table.columns:
        twin = second.by_name.get(column.name) if column.name in known else None
        merged = column if twin is None else _column(column, twin)
        columns.append(merged)
        if twin is not None and twin.type.kind == "e" and _fewer(twin.type, column.type):
            checks.append(_labels(column, twin.type))
    checks = [check for check in checks if _evaluable(session, columns, check)]
    uniques = {(unique.columns, unique.partial) for unique in table.uniques}
    more: list[Unique] = [
        replace(unique, primary=False)
        for unique in second.uniques
        if set(unique.columns) <= known and (unique.columns, unique.partial) not in uniques
    ]
    return replace(
        table,
        columns=tuple(columns),
        checks=(*table.checks, *checks),
        uniques=(*table.uniques, *more),
        by_name={column.name: column for column in columns},
    )


def _column(column: Column, twin: Column) -> Column:
    """The column as both versions take it: required if either requires it, of the narrower type."""
    merged = replace(column, not_null=column.not_null or (twin.not_null and not twin.generated))
    if column.type.oid == twin.type.oid:
        if twin.length is not None and (column.length is None or twin.length < column.length):
            return replace(merged, typmod=twin.typmod)
        if column.type.name == "numeric" and twin.typmod > 4 and (column.typmod <= 4 or twin.typmod < column.typmod):
            return replace(merged, typmod=twin.typmod)
        return merged
    if twin.type.oid >= FIRST_OWN_OID or column.type.oid >= FIRST_OWN_OID:
        return merged
    text, other_text = column.type.name in TEXT_TYPES, twin.type.name in TEXT_TYPES
    narrower = _WIDTH.get(twin.type.name, -1) < _WIDTH.get(column.type.name, -1) and twin.type.name in _WIDTH
    if (text and not other_text) or narrower:
        # The literal of the narrower type is one of the wider type too.
        return replace(merged, type=twin.type, typmod=twin.typmod)
    if text and other_text and twin.length is not None and (column.length is None or twin.length < column.length):
        return replace(merged, type=twin.type, typmod=twin.typmod)
    return merged


def _fewer(kind: TypeInfo, other: TypeInfo) -> bool:
    """Whether an enum takes less than the other type does."""
    return other.kind != "e" or set(kind.labels) < set(other.labels)


def _labels(column: Column, kind: TypeInfo) -> Check:
    """The labels of an enum that only the other version has, as a condition on the column's text."""
    labels = ", ".join(quote_literal(label) for label in kind.labels)
    expression = f"(({column.quoted})::text = ANY (ARRAY[{labels}]))"
    return Check(f"labels of {kind.name}", (column.name,), expression)


def _evaluable(session: Session, columns: Sequence[Column], check: Check) -> bool:
    """Whether the condition can be evaluated here over values of these types."""
    shown = ", ".join(
        f"NULL::{column.type.text} AS {column.quoted}" for column in columns if column.name in check.columns
    )
    result = session.attempt(f"SELECT ({check.expression}) FROM (SELECT {shown}) t LIMIT 0")
    return not isinstance(result, psycopg.Error)
