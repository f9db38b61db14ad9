"""Values for columns of rows that exist: what the new release would write into a column just added."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_pgmigrate.model.cluster import SeedReport
from pytest_pgmigrate.seeding.given import add_sql
from pytest_pgmigrate.seeding.links import read_rows
from pytest_pgmigrate.seeding.load import update
from pytest_pgmigrate.seeding.parents import Parents
from pytest_pgmigrate.seeding.repair import make_witness
from pytest_pgmigrate.seeding.rows import EmptyParent, RowBuilder
from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import Catalog, Column, Table
from pytest_pgmigrate.seeding.wishes import Unusable
from pytest_pgmigrate.seeding.witness import unmet_reason


class ColumnFiller:
    """Writes values into columns of the tables of one catalog."""

    def __init__(self, session: Session, catalog: Catalog, seed: int) -> None:
        self._session = session
        self._catalog = catalog
        self._seed = seed
        self._parents = Parents(session, catalog.names)

    def fill(self, name: str, oid: int | None, columns: Sequence[str]) -> SeedReport:
        """Write the ``columns`` of every row of a table, within its constraints."""
        table = None if oid is None else self._catalog.tables.get(oid)
        if table is None:
            return SeedReport(name, 0, 0, "empty", f"there is no table {name}")
        targets = [table.by_name[column] for column in columns if _writable(table.by_name.get(column))]
        if not targets:
            return SeedReport(name, 0, 0, "empty", f"{name} has no column to write among {', '.join(columns)}")
        return self._write(table, targets)

    def _write(self, table: Table, targets: Sequence[Column]) -> SeedReport:
        name = str(table.ident)
        names = {column.name for column in targets}
        kept = [column.name for column in table.columns if column.name not in names]
        identity, rows = read_rows(self._session, table, [column.name for column in table.columns])
        if not rows:
            return SeedReport(name, 0, 0, "full")
        builder = RowBuilder(self._catalog, table, self._seed, self._parents, frozenset())
        given = [{key: row[key] for key in (*identity, *kept)} for row in rows]
        try:
            add_sql(self._session, table, self._seed, 0, given)
            built = builder.build(range(len(rows)), given)
        except EmptyParent as error:
            return SeedReport(name, len(rows), 0, "empty", f"parent {error} is empty")
        except Unusable as error:
            return SeedReport(name, len(rows), 0, "empty", str(error))
        witness = make_witness(self._session, builder, self._seed, self._parents, frozenset(kept))
        fit, unmet = witness.repair(built)
        stored = update(self._session, table, identity, targets, fit)
        if stored.count >= len(rows):
            return SeedReport(name, len(rows), stored.count, "full")
        reason = stored.reason or (unmet_reason(unmet) if unmet else "")
        if not reason and builder.saturated:
            return SeedReport(name, len(rows), stored.count, "saturated", f"{builder.saturated} admits no more rows")
        return SeedReport(name, len(rows), stored.count, "partial" if stored.count else "empty", reason)


def _writable(column: Column | None) -> bool:
    """Generated columns and GENERATED ALWAYS identities take no value from an UPDATE."""
    return column is not None and not column.generated and column.identity != "a"
