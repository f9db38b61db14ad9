"""Fills tables with plausible rows: the seeder that execution uses through model.cluster.Seeder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from pytest_pgmigrate.errors import SeedError
from pytest_pgmigrate.model.cluster import SeedReport
from pytest_pgmigrate.seeding.catalog import CatalogReader
from pytest_pgmigrate.seeding.columns import ColumnFiller
from pytest_pgmigrate.seeding.filler import Filler
from pytest_pgmigrate.seeding.session import Session, describe
from pytest_pgmigrate.seeding.shape import TableName

Work = Callable[[Session, CatalogReader, Mapping[int, TableName]], tuple[SeedReport, ...]]


class FakeSeeder:
    """Fills tables with plausible fake rows, the same ones for the same seed on every PostgreSQL version.

    ``seed`` chooses the rows, ``rows`` is how many an empty table gets. A table that cannot be filled is reported,
    never raised; SeedError means that the catalog could not be read or the connection was lost.
    """

    def __init__(self, seed: int = 1, rows: int = 20) -> None:
        if rows < 0:
            raise SeedError(f"the number of rows to seed must not be negative, got {rows}")
        self._seed = seed
        self._rows = rows

    def fill(self, connection: psycopg.Connection[Any], *, exclude_schemas: Sequence[str]) -> tuple[SeedReport, ...]:
        """Give every empty table rows, parents first; tables that have rows are left alone and not reported.

        Raises SeedError.
        """

        def work(session: Session, reader: CatalogReader, names: Mapping[int, TableName]) -> tuple[SeedReport, ...]:
            empty = reader.empty(names.values())
            if not empty or not self._rows:
                return ()
            with session.settings():
                return Filler(session, reader.read(names, empty), self._seed).fill(self._rows)

        return self._in_transaction(connection, exclude_schemas, work)

    def write_more(
        self,
        connection: psycopg.Connection[Any],
        *,
        exclude_schemas: Sequence[str],
        rows: int,
        exclude_tables: Sequence[str] = (),
    ) -> tuple[SeedReport, ...]:
        """Add ``rows`` rows to every table, with keys of their own: sequences are drawn from as an application does.

        ``exclude_tables`` are qualified names; rows of other tables may still point into them.

        Raises SeedError.
        """

        def work(session: Session, reader: CatalogReader, names: Mapping[int, TableName]) -> tuple[SeedReport, ...]:
            if not names or rows < 1:
                return ()
            with session.settings():
                wanted = [oid for oid, t in names.items() if f"{t.schema}.{t.name}" not in exclude_tables]
                return Filler(session, reader.read(names, wanted), self._seed).fill(rows, more=True)

        return self._in_transaction(connection, exclude_schemas, work)

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
            with session.settings():
                filler = ColumnFiller(session, reader.read(names, list(found.values())), self._seed)
                return tuple(filler.fill(table, found.get(table), listed) for table, listed in wanted.items())

        return self._in_transaction(connection, exclude_schemas, work) if columns else ()

    def _in_transaction(
        self, connection: psycopg.Connection[Any], exclude_schemas: Sequence[str], work: Work
    ) -> tuple[SeedReport, ...]:
        try:
            with connection.transaction():
                reader = CatalogReader(connection, exclude_schemas)
                return work(Session(connection), reader, reader.names())
        except psycopg.Error as error:
            raise SeedError(f"seeding stopped: {describe(error)}") from error
