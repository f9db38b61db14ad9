"""Edge rows: rows as an application writes them, but for one column that holds a value at the boundary of its type.

Each is offered to the server alone; what a constraint refuses is no row of this schema and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle, islice

import psycopg

from pytest_pgmigrate.model.cluster import EdgeRow
from pytest_pgmigrate.seeding.edge_values import NULL, edges, listed
from pytest_pgmigrate.seeding.hints import NO_HINT, read_hints
from pytest_pgmigrate.seeding.load import insert_text
from pytest_pgmigrate.seeding.parents import Parents
from pytest_pgmigrate.seeding.plan import order
from pytest_pgmigrate.seeding.repair import make_witness
from pytest_pgmigrate.seeding.rows import EmptyParent, RowBuilder
from pytest_pgmigrate.seeding.sequences import catch_up, draw
from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import Catalog, Column, Row, Table, quote_identifier

MOST = 300
"""Edge rows tried in one table at most: those of its first columns."""

Wanted = Callable[[str, str, str], bool]
"""(schema.table, column, name of the value) to whether this edge row is wanted."""

FIRST = 50_000
"""Number of the first edge row: its own values are nobody else's."""


class EdgeWriter:
    """Adds edge rows to tables of ``catalog``; but for the edge value they are as ``fitting`` asks."""

    def __init__(self, session: Session, catalog: Catalog, fitting: Catalog, seed: int, wanted: Wanted) -> None:
        self._session = session
        self._own = catalog.tables
        self._catalog = fitting
        self._seed = seed
        self._wanted = wanted
        self._parents = Parents(session, catalog.names)

    def write(self) -> Iterator[EdgeRow]:
        """Insert the edge rows of every table, parents first, and name those that the server took."""
        for step in order(self._catalog.tables):
            for oid in step.tables:
                yield from self._table(self._catalog.tables[oid])

    def _table(self, table: Table) -> Iterator[EdgeRow]:
        builder = RowBuilder(self._catalog, table, self._seed, self._parents, frozenset())
        plans = list(islice(self._plans(builder), MOST))
        if not plans:
            return
        catch_up(self._session, table)
        try:
            # All rows are drawn even when few are wanted, so that a row is the same one whatever else is written.
            rows = builder.build(range(FIRST, FIRST + len(plans)), draw(self._session, builder.sequences, len(plans)))
        except EmptyParent:
            return
        fit, _ = make_witness(self._session, builder, self._seed, self._parents, frozenset()).repair(rows)
        # Where few rows fit (a finite unique index), those there are serve several values in turn.
        for (column, name, value), row in zip(plans, cycle(fit) if fit else (), strict=False):
            if self._wanted(str(table.ident), column.name, name):
                written = self._insert(table, builder, {**row, column.name: value})
                if written is not None:
                    yield EdgeRow(str(table.ident), column.name, name, value, written)

    def _plans(self, builder: RowBuilder) -> Iterator[tuple[Column, str, str | None]]:
        table = builder.table
        existing = self._existing(table)
        own = self._own[table.ident.oid]
        hints = read_hints(own.checks)
        for column in own.columns:
            if column.generated or column.name in builder.sequences or column.identity:
                continue
            hint = hints.get(column.name, NO_HINT)
            # A key is the row's own, but a partition key is part of it.
            tried = listed(column, hint) if column.name in table.key else edges(column, existing.get(column.name), hint)
            for name, value in tried:
                if self._possible(own, column.name, name) and (name == NULL or column.name not in builder.linked):
                    yield column, name, value

    @staticmethod
    def _possible(table: Table, column: str, name: str) -> bool:
        """What the user says of a column is true of every row: no other values than theirs, no NULL at a rate of 0."""
        given = table.given.get(column)
        return given is None or not (given.generates if name != NULL else given.null_rate == 0)

    def _existing(self, table: Table) -> Row:
        """One row of the table, in an order that no collation decides."""
        names = [column.name for column in table.columns]
        shown = ", ".join(f"{quote_identifier(name)}::text" for name in names)
        by = ", ".join(f'{quote_identifier(name)}::text COLLATE "C"' for name in table.key)
        found = (
            self._session.query(f"SELECT {shown} FROM {table.ident.only}{f' ORDER BY {by}' if by else ''} LIMIT 1")
            if names
            else []
        )
        return dict(zip(names, found[0], strict=True)) if found else {}

    def _insert(self, table: Table, builder: RowBuilder, row: Row) -> Mapping[str, str | None] | None:
        """The key of the row as the server took it, None when it did not."""
        text = insert_text(table, builder.insertable, [row], skip_conflicts=False)
        shown: Sequence[str] = table.key or ("tableoid",)
        returned = ", ".join(f"{quote_identifier(name)}::text" for name in shown)
        result = self._session.attempt(f"{text} RETURNING {returned}")
        if isinstance(result, (int, psycopg.Error)) or not result:
            return None
        return dict(zip(table.key, result[0], strict=False))
