"""Values for columns of rows that exist: what the new release would write into a column just added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_pgmigrate.model.cluster import SeedReport
from pytest_pgmigrate.seeding.given import add_sql
from pytest_pgmigrate.seeding.links import MAX_ROWS, read_rows
from pytest_pgmigrate.seeding.load import update
from pytest_pgmigrate.seeding.parents import Parents
from pytest_pgmigrate.seeding.repair import make_witness
from pytest_pgmigrate.seeding.rows import EmptyParent, RowBuilder
from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import Catalog, Column, Row, Table
from pytest_pgmigrate.seeding.spread import after, spread
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
        """Page by page, for a page is in our memory; past the first one by the server, where that is possible."""
        own = {column for unique in table.uniques for column in unique.columns}
        names = {column.name for column in targets}
        report, last = self._page(table, targets, 0, "true")
        while last is not None:
            if report.status == "full" and not own & names:
                more = spread(self._session, table, list(last), targets, last)
                if more.count or not more.reason:
                    return replace(report, asked=report.asked + more.count, filled=report.filled + more.count)
            if "ctid" in last or names & last.keys():
                # Rows would change places while they are read.
                return report
            page, last = self._page(table, targets, report.asked, after(list(last), targets, last))
            report = _both(report, page)
        return report

    def _page(
        self, table: Table, targets: Sequence[Column], first: int, condition: str
    ) -> tuple[SeedReport, Row | None]:
        """Write the rows of one page; and what identifies its last row when another page may follow."""
        name = str(table.ident)
        names = {column.name for column in targets}
        kept = [column.name for column in table.columns if column.name not in names]
        identity, rows = read_rows(self._session, table, [column.name for column in table.columns], condition)
        if not rows:
            return SeedReport(name, 0, 0, "full"), None
        last = {key: rows[-1][key] for key in identity} if len(rows) == MAX_ROWS else None
        return self._write_page(table, targets, first, (identity, kept, rows)), last

    def _write_page(
        self, table: Table, targets: Sequence[Column], first: int, page: tuple[list[str], list[str], list[Row]]
    ) -> SeedReport:
        name = str(table.ident)
        identity, kept, rows = page
        builder = RowBuilder(self._catalog, table, self._seed, self._parents, frozenset())
        given = [{key: row[key] for key in (*identity, *kept)} for row in rows]
        try:
            add_sql(self._session, table, self._seed, first, given)
            built = builder.build(range(first, first + len(rows)), given)
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


def _both(first: SeedReport, second: SeedReport) -> SeedReport:
    """One report of two pages; what the first one could not do counts."""
    status = second.status if first.status == "full" and second.asked else first.status
    asked, filled = first.asked + second.asked, first.filled + second.filled
    return SeedReport(first.table, asked, filled, status, first.reason or second.reason)


def _writable(column: Column | None) -> bool:
    """Generated columns and GENERATED ALWAYS identities take no value from an UPDATE."""
    return column is not None and not column.generated and column.identity != "a"
