"""All that a user says about seeding, for one history: brought to the catalog that is filled, and what came of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.model.cluster import SeedReport
from pytest_pgmigrate.model.seeding import Factory, SeedScript
from pytest_pgmigrate.seeding.shape import Catalog, Column, Table, TableName
from pytest_pgmigrate.seeding.wishes import Given, Rules, pattern, version_key

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.seeding.session import Session

_COLUMNS = """
SELECT n.nspname, c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND n.nspname <> ALL (%s) AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one history's user gave: the seed file, scripts, factories; ``versions`` are those of the history."""

    rules: Rules = field(default_factory=Rules)
    scripts: tuple[SeedScript, ...] = ()
    factories: tuple[Factory, ...] = ()
    versions: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Changes with anything that could make other rows; "" when nothing was given."""
        if not (self.rules.file or self.scripts or self.factories):
            return ""
        parts = [self.rules.text]
        parts += [f"{one.when} {one.version} {one.script.checksum}" for one in self.scripts]
        parts += [f"{one.table} {_source(one)}" for one in self.factories]
        return sha256("\0".join(parts).encode()).hexdigest()


def left_null(catalog: Catalog, columns: Iterable[tuple[str, str]]) -> Catalog:
    """The catalog with these columns, by table without schema, empty where they may be and nothing else is said of them."""
    wanted = set(columns)
    if not wanted:
        return catalog
    tables = {}
    for oid, table in catalog.tables.items():
        empty = {
            column.name: Given(null_rate=1.0)
            for column in table.columns
            if (table.ident.name, column.name) in wanted and not column.not_null and column.default is None
        }
        tables[oid] = replace(table, given={**empty, **table.given}) if empty else table
    return replace(catalog, tables=tables)


class Hooks:
    """The user's words at work. ``at`` tells the version of the database that is filled next."""

    def __init__(self, wanted: Wanted, seed: int) -> None:
        from pytest_pgmigrate.seeding.scripts import Scripts

        self.wanted = wanted
        self.scripts = Scripts(wanted.scripts, self.say)
        self.version = ""
        self._seed = seed
        self._notes: dict[str, None] = {}
        self._names: set[tuple[str, str, str]] = set()
        self._places = {one.table: pattern(one.table, one.place, 1) for one in wanted.factories if _named(one.table)}

    def say(self, note: str) -> None:
        """Keep something for the summary."""
        self._notes[note] = None

    def apply(self, session: Session, catalog: Catalog) -> Catalog:
        """The catalog with what the user says of its tables."""
        if not (self.wanted.rules.file or self.wanted.factories):
            return catalog
        return replace(catalog, tables={oid: self._table(session, table) for oid, table in catalog.tables.items()})

    def _table(self, session: Session, table: Table) -> Table:
        schema, name = table.ident.schema, table.ident.name
        rules = self.wanted.rules
        found = {column.name: rules.given(schema, name, column.name, self._reached) for column in table.columns}
        given = {column: one for column, one in found.items() if one is not None}
        columns = tuple(self._column(table, column, given.get(column.name)) for column in table.columns)
        factory = next((one for one in self.wanted.factories if self._makes(one, table.ident)), None)
        table = replace(
            table,
            columns=columns,
            by_name={column.name: column for column in columns},
            given=given,
            rows=rules.wanted(schema, name),
        )
        if factory is None:
            return table
        from pytest_pgmigrate.seeding.factories import rows_of

        return replace(table, factory=rows_of(factory, session, table, self._seed, self.version))

    def _column(self, table: Table, column: Column, given: Given | None) -> Column:
        if given is None or given.null_rate is None:
            return column
        if given.null_rate == 0:
            # Never NULL, whatever tries to fill it: as if it were declared so.
            return replace(column, not_null=True)
        if column.not_null:
            self.say(f"{self.wanted.rules.file}: {table.ident}.{column.name} is NOT NULL: its null_rate is not used")
        return column

    def _reached(self, version: str) -> bool:
        return version_key(self.version) >= version_key(version)

    def _makes(self, factory: Factory, name: TableName) -> bool:
        meant = self._places.get(factory.table)
        return meant is not None and meant.matches(name.schema, name.name)

    def closed(self, name: TableName) -> str:
        """Why the table gets no rows of ours, or ""."""
        return self.wanted.rules.closed(name.schema, name.name)

    def open_tables(
        self, names: Mapping[int, TableName], oids: Iterable[int], rows: int
    ) -> tuple[list[int], tuple[SeedReport, ...]]:
        """Those of the tables that may get rows, and reports of the others."""
        found, reports = [], []
        for oid in oids:
            reason = self.closed(names[oid])
            if reason:
                reports.append(SeedReport(str(names[oid]), rows, 0, "skipped", reason))
            else:
                found.append(oid)
        return found, tuple(reports)

    def see(self, connection: psycopg.Connection[Any], exclude_schemas: Sequence[str]) -> None:
        """Look which of the names that the user wrote the database has now."""
        if self.wanted.rules.file or self.wanted.factories:
            rows = connection.execute(_COLUMNS, [list(exclude_schemas)]).fetchall()
            self._names.update((row[0], row[1], row[2]) for row in rows)

    def notes(self) -> tuple[str, ...]:
        """What went wrong, and scripts for versions that the history does not have."""
        known = {version_key(version) for version in self.wanted.versions}
        wrong = [
            f"{one.script.file} is for version {one.version}, which the history does not have"
            for one in self.wanted.scripts
            if one.version and version_key(one.version) not in known
        ]
        return (*self._notes, *wrong)

    def unknown(self) -> tuple[str, ...]:
        """Names the user wrote that no database seen so far has: ``pgmigrate-seed.toml:3 names users.emial``."""
        if not self._names:
            return ()  # nothing was filled: nothing is known
        tables = {(schema, table) for schema, table, _ in self._names}
        columns = [rule.pattern for rule in self.wanted.rules.columns]
        others = [*self.wanted.rules.tables, *self._places.values()]
        missing = [one for one in columns if not any(one.matches(*name) for name in self._names)]
        missing += [one for one in others if not any(one.matches(*name) for name in tables)]
        odd = [
            f"{rule.pattern.place} names version {rule.since}"
            for rule in self.wanted.rules.columns
            if rule.since and version_key(rule.since) not in set(map(version_key, self.wanted.versions))
        ]
        odd += [f"{one.place} names {one.table!r}" for one in self.wanted.factories if one.table not in self._places]
        return tuple(dict.fromkeys([*(f"{one.place} names {one.text}" for one in missing), *odd]))


def _named(table: str) -> bool:
    try:
        pattern(table, "", 1)
    except ValueError:
        return False
    return True


def _source(factory: Factory) -> str:
    try:
        return inspect.getsource(factory.function)
    except (OSError, TypeError):
        return factory.place
