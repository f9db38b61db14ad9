"""Fills tables with plausible rows: the seeder that execution uses through model.cluster.Seeder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from pytest_pgmigrate.errors import SeedError
from pytest_pgmigrate.model.cluster import EdgeRow, SeedReport
from pytest_pgmigrate.seeding.catalog import CatalogReader
from pytest_pgmigrate.seeding.columns import ColumnFiller
from pytest_pgmigrate.seeding.edge import EdgeWriter
from pytest_pgmigrate.seeding.filler import Filler
from pytest_pgmigrate.seeding.hooks import Hooks, Wanted, left_null
from pytest_pgmigrate.seeding.merge import Schema, merge
from pytest_pgmigrate.seeding.session import Session, describe
from pytest_pgmigrate.seeding.shape import Catalog, TableName
from pytest_pgmigrate.seeding.wishes import version_key

Work = Callable[[Session, CatalogReader, Mapping[int, TableName]], tuple[SeedReport, ...]]


class FakeSeeder:
    """Fills tables with plausible fake rows, the same ones for the same seed on every PostgreSQL version.

    ``seed`` chooses the rows, ``rows`` is how many an empty table gets. A table that cannot be filled is reported,
    never raised; SeedError means that the catalog could not be read or the connection was lost. ``wanted`` is what the
    user says of tables and columns; ``at`` tells the version of the database that is filled next.
    """

    def __init__(self, seed: int = 1, rows: int = 20, wanted: Wanted | None = None) -> None:
        if rows < 0:
            raise SeedError(f"the number of rows to seed must not be negative, got {rows}")
        self._seed = seed
        self._rows = rows
        self._hooks = Hooks(wanted or Wanted(), seed)

    @property
    def fingerprint(self) -> str:
        """Changes with whatever the user gave for seeding; "" when that is nothing."""
        return self._hooks.wanted.fingerprint

    def at(self, version: str) -> bool:
        """The database to be filled next has this version; whether the user gave a script to run at just this one."""
        self._hooks.version = version
        return version_key(version) in self._hooks.scripts.versions

    def see(self, connection: psycopg.Connection[Any], *, exclude_schemas: Sequence[str]) -> None:
        """Look which of the user's names the database has; ``fill`` looks by itself."""
        self._hooks.see(connection, exclude_schemas)

    def notes(self) -> tuple[str, ...]:
        """What went wrong with the user's scripts and settings so far."""
        return self._hooks.notes()

    def unknown(self) -> tuple[str, ...]:
        """What of the user's names no database had that was looked at."""
        return self._hooks.unknown()

    def read_schema(
        self,
        connection: psycopg.Connection[Any],
        *,
        exclude_schemas: Sequence[str],
        tables: Sequence[str] | None = None,
    ) -> Schema:
        """What ``tables`` (all when None) ask of rows now, for ``also`` of the other methods. Raises SeedError."""
        found: list[Schema] = []

        def work(session: Session, reader: CatalogReader, names: Mapping[int, TableName]) -> tuple[SeedReport, ...]:
            with session.settings():
                oids = [oid for oid, name in names.items() if tables is None or str(name) in tables]
                found.append(Schema.of(reader.read(names, oids)))
            return ()

        self._in_transaction(connection, exclude_schemas, work)
        return found[0]

    def fill(
        self,
        connection: psycopg.Connection[Any],
        *,
        exclude_schemas: Sequence[str],
        exclude_tables: Sequence[str] = (),
        leave: Sequence[tuple[str, str]] = (),
        also: object = None,
    ) -> tuple[SeedReport, ...]:
        """Give every empty table rows, parents first; tables that have rows are left alone and not reported.

        ``exclude_tables`` (schema.table) are not reported either. ``leave``: columns, by table without schema, that have
        no values yet: they stay NULL unless the user says something of them. ``also``: what ``read_schema`` gave for another
        version; the rows are to fit that one too. Raises SeedError.
        """

        def work(session: Session, reader: CatalogReader, names: Mapping[int, TableName]) -> tuple[SeedReport, ...]:
            empty = [oid for oid in reader.empty(names.values()) if str(names[oid]) not in exclude_tables]
            empty, closed = self._hooks.open_tables(names, empty, self._rows)
            if not empty or not self._rows:
                return closed
            with session.settings():
                catalog = left_null(self._read(session, reader, names, empty, also), leave)
                return Filler(session, catalog, self._seed).fill(self._rows, besides=closed)

        return self._between_scripts(connection, exclude_schemas, work, self._hooks.version)

    def write_more(
        self,
        connection: psycopg.Connection[Any],
        *,
        exclude_schemas: Sequence[str],
        rows: int,
        exclude_tables: Sequence[str] = (),
        also: object = None,
    ) -> tuple[SeedReport, ...]:
        """Add ``rows`` rows to every table, with keys of their own: sequences are drawn from as an application does.

        ``exclude_tables`` are qualified names; rows of other tables may still point into them. ``also`` as in ``fill``.

        Raises SeedError.
        """

        def work(session: Session, reader: CatalogReader, names: Mapping[int, TableName]) -> tuple[SeedReport, ...]:
            if not names or rows < 1:
                return ()
            with session.settings():
                wanted = [oid for oid, t in names.items() if f"{t.schema}.{t.name}" not in exclude_tables]
                wanted, _ = self._hooks.open_tables(names, wanted, rows)
                catalog = self._read(session, reader, names, wanted, also)
                return Filler(session, catalog, self._seed).fill(rows, more=True)

        return self._between_scripts(connection, exclude_schemas, work)

    def write_edge(
        self,
        connection: psycopg.Connection[Any],
        *,
        exclude_schemas: Sequence[str],
        tables: Sequence[str],
        wanted: Callable[[str, str, str], bool] | None = None,
        also: object = None,
    ) -> tuple[EdgeRow, ...]:
        """Add rows at the boundaries of each column's type to ``tables``; those the server took. Raises SeedError."""
        found: list[EdgeRow] = []

        def work(session: Session, reader: CatalogReader, names: Mapping[int, TableName]) -> tuple[SeedReport, ...]:
            oids = [oid for oid, name in names.items() if str(name) in tables and not self._hooks.closed(name)]
            with session.settings():
                catalog = self._hooks.apply(session, reader.read(names, oids))
                fitting = merge(session, catalog, also) if isinstance(also, Schema) else catalog
                found.extend(EdgeWriter(session, catalog, fitting, self._seed, wanted or (lambda *_: True)).write())
            return ()

        if tables:
            self._in_transaction(connection, exclude_schemas, work)
        return tuple(found)

    def fill_columns(
        self,
        connection: psycopg.Connection[Any],
        *,
        exclude_schemas: Sequence[str],
        columns: Sequence[tuple[str, str]],
    ) -> tuple[SeedReport, ...]:
        """Write plausible values into existing rows' ``columns``, given as (``schema.table``, column).

        What the new release would write into the columns a migration added. Columns and tables that do not exist,
        and columns the server writes itself (generated, identity), are reported as empty. Raises SeedError.
        """

        def work(session: Session, reader: CatalogReader, names: Mapping[int, TableName]) -> tuple[SeedReport, ...]:
            wanted: dict[str, list[str]] = {}
            for table, column in columns:
                wanted.setdefault(table, []).append(column)
            found = {str(name): oid for oid, name in names.items() if str(name) in wanted}
            left = {table for table, oid in found.items() if self._hooks.closed(names[oid])}
            with session.settings():
                catalog = self._hooks.apply(session, reader.read(names, list(found.values())))
                filler = ColumnFiller(session, catalog, self._seed)
                return tuple(filler.fill(name, found.get(name), wanted[name]) for name in wanted if name not in left)

        return self._between_scripts(connection, exclude_schemas, work) if columns else ()

    def _read(
        self,
        session: Session,
        reader: CatalogReader,
        names: Mapping[int, TableName],
        wanted: Sequence[int],
        also: object,
    ) -> Catalog:
        catalog = self._hooks.apply(session, reader.read(names, wanted))
        return merge(session, catalog, also) if isinstance(also, Schema) else catalog

    def _between_scripts(
        self, connection: psycopg.Connection[Any], exclude_schemas: Sequence[str], work: Work, version: str = ""
    ) -> tuple[SeedReport, ...]:
        """``work`` between the user's scripts: those for every filling, and for a ``version`` those up to it."""
        scripts = self._hooks.scripts
        try:
            scripts.run(connection, "before", version, exclude_schemas)
            reports = self._in_transaction(connection, exclude_schemas, work)
            scripts.run(connection, "after", version, exclude_schemas)
            scripts.settle(connection)
            if version:
                self._hooks.see(connection, exclude_schemas)
        except psycopg.Error as error:
            raise SeedError(f"seeding stopped: {describe(error)}") from error
        return reports

    def _in_transaction(
        self, connection: psycopg.Connection[Any], exclude_schemas: Sequence[str], work: Work
    ) -> tuple[SeedReport, ...]:
        try:
            with connection.transaction():
                reader = CatalogReader(connection, exclude_schemas)
                return work(Session(connection), reader, reader.names())
        except psycopg.Error as error:
            raise SeedError(f"seeding stopped: {describe(error)}") from error
