"""Reads tables, constraints and types from the system catalogs, in a handful of queries per call."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from pytest_pgmigrate.seeding import queries
from pytest_pgmigrate.seeding.shape import (
    Catalog,
    Check,
    Column,
    ForeignKey,
    Table,
    TableName,
    TypeInfo,
    Unique,
)

Records = list[tuple[Any, ...]]

MAX_PARTITIONS = 100
"""Partition bounds looked at per table: rows spread over so many partitions are enough."""

_VALUE = re.compile(r"('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")|\bVALUE\b")


class CatalogReader:
    """Reads the shape of tables over one connection, inside the caller's transaction."""

    def __init__(self, connection: psycopg.Connection[Any], exclude_schemas: Sequence[str]) -> None:
        self._cursor = connection.cursor(row_factory=tuple_row)
        self._exclude = list(exclude_schemas)

    def names(self) -> dict[int, TableName]:
        """Every ordinary and partitioned table outside the excluded schemas, not owned by an extension, by name."""
        rows = self._cursor.execute(queries.TABLES, [self._exclude]).fetchall()
        return {oid: TableName(oid, schema, name, kind == "p") for oid, schema, name, kind in rows}

    def empty(self, names: Iterable[TableName]) -> list[int]:
        """The oids of those tables that hold no row."""
        parts = [f"SELECT {name.oid} WHERE NOT EXISTS (SELECT FROM {name.only})" for name in names]
        return [row[0] for row in self._query(" UNION ALL ".join(parts))] if parts else []

    def read(self, names: Mapping[int, TableName], wanted: Sequence[int]) -> Catalog:
        """The foreign keys of all ``names`` and the details of the ``wanted`` tables."""
        oids = list(wanted)
        columns = self._query(queries.COLUMNS, oids)
        keys = {row[0]: (row[1], row[2]) for row in self._query(queries.SINGLE_KEYS, list(names))}
        linked = self._foreign_keys(names, implied_keys(names, keys, columns))
        types = self._types({row[3] for row in columns})
        uniques = self._uniques(oids)
        checks = self._checks(oids)
        by_table: dict[int, list[Column]] = defaultdict(list)
        for row in columns:
            by_table[row[0]].append(_column(row, types))
            checks[row[0]].extend(_domain_checks(row, types))
        partitions = self._partitions([oid for oid in oids if names[oid].partitioned])
        tables = {}
        for oid in oids:
            found = tuple(by_table[oid])
            bounds = partitions.get(oid)
            tables[oid] = Table(
                ident=linked[oid],
                columns=found,
                checks=(*checks[oid], *(bounds[1] if bounds else ())),
                uniques=tuple(uniques[oid]),
                partitions=(bounds[0] if bounds else 0) if names[oid].partitioned else None,
                by_name={column.name: column for column in found},
            )
        return Catalog(linked, tables, types)

    def _query(self, text: str, oids: Sequence[int] | None = None) -> Records:
        parameters = None if oids is None else [list(oids)]
        return self._cursor.execute(text, parameters, prepare=False).fetchall()

    def _foreign_keys(
        self, names: Mapping[int, TableName], implied: Mapping[int, Sequence[ForeignKey]]
    ) -> dict[int, TableName]:
        found: dict[int, list[ForeignKey]] = defaultdict(list)
        for child, name, parent, columns, referenced in self._query(queries.FOREIGN_KEYS, list(names)):
            found[child].append(ForeignKey(name, parent, tuple(zip(columns, referenced, strict=True))))
        declared = {oid: {column for key in keys for column in key.columns} for oid, keys in found.items()}
        return {
            oid: TableName(
                oid,
                name.schema,
                name.name,
                name.partitioned,
                tuple(found[oid]),
                tuple(key for key in implied.get(oid, ()) if key.columns[0] not in declared.get(oid, ())),
            )
            for oid, name in names.items()
        }

    def _checks(self, oids: Sequence[int]) -> dict[int, list[Check]]:
        found: dict[int, list[Check]] = defaultdict(list)
        for table, name, columns, expression in self._query(queries.CHECKS, oids):
            found[table].append(Check(name, tuple(columns), expression))
        return found

    def _uniques(self, oids: Sequence[int]) -> dict[int, list[Unique]]:
        found: dict[int, list[Unique]] = defaultdict(list)
        for table, name, columns, partial, deferrable, primary, exclusion in self._query(queries.UNIQUES, oids):
            found[table].append(Unique(name, tuple(columns), partial, deferrable, primary, exclusion))
        return found

    def _partitions(self, oids: Sequence[int]) -> dict[int, tuple[int, tuple[Check, ...]]]:
        if not oids:
            return {}
        found: dict[int, tuple[int, tuple[Check, ...]]] = {}
        for table, columns, conditions in self._query(queries.PARTITIONS, oids):
            known = [condition for condition in conditions if condition]
            checks: tuple[Check, ...] = ()
            # A leaf without a condition (the only, default partition) takes every row: nothing to meet then.
            if known and len(known) == len(conditions):
                shown = tuple(known[:MAX_PARTITIONS])
                expression = " OR ".join(f"({condition})" for condition in shown)
                checks = (Check("partition bounds", tuple(columns), expression, shown),)
            found[table] = (len(conditions), checks)
        return found

    def _types(self, oids: set[int]) -> dict[int, TypeInfo]:
        return {row[0]: _type(row) for row in self._query(queries.TYPES, sorted(oids))}


def implied_keys(
    names: Mapping[int, TableName], keys: Mapping[int, tuple[str, int]], columns: Records
) -> dict[int, list[ForeignKey]]:
    """References that only a name tells of: ``client_id`` beside a table client, clients or oidc_clients.

    ``keys`` holds each table's single-column primary key with its type, which must be the column's own.
    """
    by_stem: dict[str, list[int]] = defaultdict(list)
    for oid in sorted(keys, key=lambda oid: (len(names[oid].name), str(names[oid]))):
        parts = names[oid].name.lower().split("_")
        for start in range(len(parts)):
            by_stem[_stem("_".join(parts[start:]))].append(oid)
    found: dict[int, list[ForeignKey]] = defaultdict(list)
    for row in columns:
        table, column, kind, generated = row[0], str(row[2]), row[3], row[7]
        if generated or not column.lower().endswith("_id"):
            continue
        for parent in by_stem.get(_stem(column.lower()[:-3]), ()):
            key, key_type = keys[parent]
            if parent != table and key_type == kind and names[parent].schema == names[table].schema:
                found[table].append(ForeignKey(f"implied {column}", parent, ((column, key),)))
                break
    return found


def _stem(word: str) -> str:
    """``word`` without its English plural ending: user for users, compan for company and companies."""
    return re.sub(r"(ies|es|s|y|e)$", "", word)


def _type(row: tuple[Any, ...]) -> TypeInfo:
    *plain, labels, attributes, checks = row
    oid, name, kind, category, base, typmod, not_null, element, text = plain
    return TypeInfo(
        oid=oid,
        name=name,
        kind=kind,
        category=category,
        base=base,
        typmod=typmod,
        not_null=not_null,
        element=element,
        text=text,
        labels=tuple(labels or ()),
        attributes=tuple((int(pair[0]), int(pair[1])) for pair in attributes or ()),
        checks=tuple(checks or ()),
    )


def _column(row: tuple[Any, ...], types: Mapping[int, TypeInfo]) -> Column:
    _, number, name, oid, typmod, not_null, identity, generated, default, sequence = row
    kind = types[oid]
    while kind.kind == "d":
        not_null = not_null or kind.not_null
        typmod = kind.typmod if typmod == -1 else typmod
        kind = types[kind.base]
    return Column(name, number, kind, typmod, not_null, identity, generated, default, sequence)


def _domain_checks(row: tuple[Any, ...], types: Mapping[int, TypeInfo]) -> list[Check]:
    """The CHECKs of the column's domain (and of the domains that one is over), about the column instead of VALUE."""
    column, kind = str(row[2]), types[row[3]]
    domains = []
    while kind.kind == "d":
        domains.append(kind)
        kind = types[kind.base]
    subject = '("' + column.replace('"', '""') + f'"::{kind.text})'
    return [
        Check(f"domain {domain.name}", (column,), _VALUE.sub(lambda m: m[1] or subject, expression))
        for domain in domains
        for expression in domain.checks
    ]
