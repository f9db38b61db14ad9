"""Fills the tables of one catalog, step by step in foreign-key order."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_pgmigrate.model.cluster import SeedReport
from pytest_pgmigrate.seeding.given import add_sql
from pytest_pgmigrate.seeding.links import write_links
from pytest_pgmigrate.seeding.load import insert_together
from pytest_pgmigrate.seeding.one_table import OneTable
from pytest_pgmigrate.seeding.parents import Parents
from pytest_pgmigrate.seeding.plan import Step, order
from pytest_pgmigrate.seeding.repair import make_witness
from pytest_pgmigrate.seeding.report import no_parent, report, with_root_causes
from pytest_pgmigrate.seeding.rows import EmptyParent, RowBuilder
from pytest_pgmigrate.seeding.sequences import catch_up, draw
from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import Catalog, Row, Table
from pytest_pgmigrate.seeding.wishes import Unusable


class Filler:
    """Fills every table of ``catalog.tables``."""

    def __init__(self, session: Session, catalog: Catalog, seed: int) -> None:
        self._session = session
        self._catalog = catalog
        self._seed = seed
        self._parents = Parents(session, catalog.names)

    def fill(self, rows: int, *, more: bool = False, besides: Sequence[SeedReport] = ()) -> tuple[SeedReport, ...]:
        """Insert ``rows`` rows into each table; ``more`` when the tables may have rows already.

        ``besides`` are reports of tables left alone: a root cause may be one of them.
        """
        reports = list(besides)
        steps = order(self._catalog.tables)
        for step in steps:
            if len(step.tables) > 1:
                reports += self._together(step, rows, more)
                continue
            table = self._catalog.tables[step.tables[0]]
            skip = frozenset(key.name for _, key in step.later)
            one = OneTable(self._session, self._catalog, self._seed, self._parents, table, skip, more=more)
            reports.append(one.fill(self._wanted(table, rows, more)))
            self._parents.forget(table.ident.oid)
        for step in steps:
            for oid, key in step.later:
                write_links(self._session, self._catalog.tables[oid], key, self._parents, self._seed)
        return with_root_causes(reports)

    def _together(self, step: Step, rows: int, more: bool) -> list[SeedReport]:
        """A cycle of NOT NULL foreign keys: make all rows first, then insert them by one statement."""
        tables = [self._catalog.tables[oid] for oid in step.tables]
        inside = set(step.tables)
        drafts: list[tuple[RowBuilder, list[Row]]] = []
        try:
            for table in tables:
                start = catch_up(self._session, table) if more else 0
                skip = frozenset(
                    key.name for key in table.ident.foreign_keys if key.parent in inside - {table.ident.oid}
                )
                builder = RowBuilder(self._catalog, table, self._seed, self._parents, skip)
                wanted = self._wanted(table, rows, more)
                own = table.factory(wanted, start) if table.factory is not None else [{}] * wanted
                drawn = draw(self._session, builder.sequences, len(own))
                for row, values in zip(drawn, own, strict=True):
                    row.update(values)
                add_sql(self._session, table, self._seed, start, drawn)
                made = builder.build(range(start, start + len(drawn)), drawn)
                drafts.append((builder, made))
                self._parents.plan(table.ident.oid, made)
            parts = []
            for table, (first, made) in zip(tables, drafts, strict=True):
                linked = {column for key in table.ident.foreign_keys if key.parent in inside for column in key.columns}
                given = [{name: value for name, value in row.items() if name not in linked} for row in made]
                builder = RowBuilder(self._catalog, table, self._seed, self._parents, frozenset())
                whole = builder.build(range(len(given)), given)
                fit, _ = make_witness(
                    self._session, builder, self._seed, self._parents, frozenset(self._referenced(table))
                ).repair(whole)
                parts.append((table, first.insertable, fit))
        except (EmptyParent, Unusable) as error:
            for table in tables:
                self._parents.forget(table.ident.oid)
            reason = no_parent(error) if isinstance(error, EmptyParent) else str(error)
            return [report(table, rows, 0, reason) for table in tables]
        result = insert_together(self._session, [part for part in parts if part[2]])
        for table in tables:
            self._parents.forget(table.ident.oid)
        if isinstance(result, str):
            return [report(table, rows, 0, result) for table in tables]
        counts = dict(zip((part[0].ident.oid for part in parts if part[2]), result, strict=True))
        return [report(table, self._wanted(table, rows, more), counts.get(table.ident.oid, 0), "") for table in tables]

    @staticmethod
    def _wanted(table: Table, rows: int, more: bool) -> int:
        """How many rows: the user's number counts for the first ones only."""
        return rows if more or table.rows is None else table.rows

    def _referenced(self, table: Table) -> set[str]:
        return {
            column
            for other in self._catalog.names.values()
            for key in other.foreign_keys
            if key.parent == table.ident.oid
            for column in key.referenced
        }
