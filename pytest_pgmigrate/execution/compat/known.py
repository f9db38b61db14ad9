"""What the old release does at version n-1: only statements that work there count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.errors import SeedError
from pytest_pgmigrate.execution.compat import calls, faults, statements, tables, user_queries
from pytest_pgmigrate.execution.compat.attempts import Tries
from pytest_pgmigrate.execution.database import OUR_SCHEMAS

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.blocking.queries import AppQuery
    from pytest_pgmigrate.execution.compat.tables import Old
    from pytest_pgmigrate.model.cluster import Seeder
    from pytest_pgmigrate.model.compat import Unusable

FRESH = 4
"""Rows written as the old release would, of each table."""

STORED = 5
"""Rows updated and deleted, of each table."""

MOST_TABLES = 25
"""Tables tried; the rest is said."""

_OWN_SESSION = b"RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL"


@dataclass(slots=True)
class Known:
    """Tables with rows that version n-1 takes, functions that can be called there, queries that work there."""

    olds: list[Old] = field(default_factory=list)
    reads: set[int] = field(default_factory=set)
    """OIDs of what can be selected from."""

    updated: dict[int, list[tables.Row]] = field(default_factory=dict)
    deleted: dict[int, list[tables.Row]] = field(default_factory=dict)
    edges: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    """By table: columns that version n no longer lets be ``NULL``, or ``left out``, and that version n-1 does."""

    plans: dict[str, str] = field(default_factory=dict)
    """Prepared ``SELECT *`` by the table's name."""

    functions: list[calls.Function] = field(default_factory=list)
    queries: list[user_queries.UserQuery] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def prepare(self, tries: Tries, table: tables.Table | None) -> None:
        """Keep a plan of ``SELECT *``, as a driver does."""
        if table is not None and (plan := tries.prepare(f"SELECT * FROM {table.sql} LIMIT 1")):
            self.plans[table.name] = plan

    @property
    def tried(self) -> int:
        """Statements that worked."""
        rows = sum(len(old.fresh) for old in self.olds)
        rows += sum(map(len, self.updated.values())) + sum(map(len, self.deleted.values()))
        return len(self.plans) + len(self.reads) + rows + len(self.functions) + len(self.queries)


@contextmanager
def undone(connection: psycopg.Connection[Any]) -> Iterator[Tries]:
    """A transaction, or a part of one, in which statements are tried and of which nothing stays."""
    with connection.transaction(force_rollback=True):
        # An application has sessions of its own: what the migration set in this one is not theirs.
        connection.execute(_OWN_SESSION, prepare=False)
        yield Tries(connection)


class Reader:
    """Learns at version n-1 what works there. ``every`` are the names of all tables, for the seeder."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        seeder: Seeder,
        every: Sequence[str],
        edges: Sequence[tuple[str, str, str]] = (),
    ) -> None:
        self._connection = connection
        self._seeder = seeder
        self._every = every
        self._edges = edges
        self.olds: dict[int, Old] = {}

    def read(
        self, oids: Sequence[int], widened: Sequence[int], routines: Sequence[str], queries: Sequence[AppQuery]
    ) -> Known:
        """Everything that works, of these tables, functions and queries; of ``widened`` tables ``SELECT *`` alone."""
        known = Known()
        if len(oids) > MOST_TABLES:
            known.notes.append(
                f"of {len(oids)} changed tables only {MOST_TABLES} were tried as the old release uses them"
            )
        concerned = list(oids)[:MOST_TABLES]
        mine = self._asked(queries)
        found = tables.read(self._connection, {*concerned, *mine, *widened})
        self.fill({oid: table for oid, table in found.items() if oid in concerned or oid in mine})
        beside = [self.olds[oid] for oid in mine if oid in found]
        known.olds = [self.olds[oid] for oid in concerned if oid in found]
        with undone(self._connection) as tries:
            for old in known.olds:
                self._keep(tries, known, old)
            for oid, table in found.items():
                known.prepare(tries, table if oid in widened or oid in known.reads else None)
            for function in calls.read(self._connection, routines, known.olds):
                if tries.attempt(function.call, "CALL").refused is None:
                    known.functions.append(function)
            known.queries, known.unusable = user_queries.usable(
                self._connection, tries, queries, [*beside, *known.olds]
            )
        return known

    def fill(self, found: dict[int, tables.Table], also: object = None) -> None:
        """Rows of these tables, those that are there and those that the application would write next."""
        self.olds = {oid: tables.Old(table) for oid, table in found.items()}
        for old in self.olds.values():
            old.stored = self._rows(old.table)
        wanted = {table.name for table in found.values() if table.writable}
        if not wanted:
            return
        with self._connection.transaction(force_rollback=True):
            others = [name for name in self._every if name not in wanted]
            try:
                self._seeder.write_more(
                    self._connection, exclude_schemas=OUR_SCHEMAS, rows=FRESH, exclude_tables=others, also=also
                )
            except SeedError:
                return
            for old in self.olds.values():
                if old.table.writable:
                    old.fresh = self._rows(old.table, fresh=True)

    def _rows(self, table: tables.Table, *, fresh: bool = False) -> list[tables.Row]:
        try:
            with self._connection.transaction():
                return tables.rows_of(self._connection, table, FRESH if fresh else STORED, fresh=fresh)
        except psycopg.Error:
            if self._connection.closed:
                raise
            return []

    def _asked(self, queries: Sequence[AppQuery]) -> list[int]:
        names = dict.fromkeys(name for query in queries for name in user_queries.mentioned(query, self._every))
        quoted = [".".join('"' + part.replace('"', '""') + '"' for part in name.split(".", 1)) for name in names]
        return [oid for oid in tables.find(self._connection, quoted[:MOST_TABLES]) if oid is not None]

    def _keep(self, tries: Tries, known: Known, old: Old) -> None:
        table, names = old.table, statements.same_names(old.table)
        if not table.columns:
            return
        if tries.attempt(statements.select(table, table.columns), "SELECT").refused is None:
            known.reads.add(table.oid)
        if not table.writable:
            return
        old.fresh = working(tries, old.fresh, lambda row: statements.insert(table, row, names), "INSERT")
        known.updated[table.oid] = working(
            tries, old.stored, lambda row: statements.update(table, row, names), "UPDATE"
        )
        known.deleted[table.oid] = working(
            tries, old.stored, lambda row: statements.delete(table, row, names), "DELETE"
        )
        if old.fresh:
            known.edges[table.oid] = [
                (column, value)
                for name, column, value in self._edges
                if name == table.name
                and table.column(column) is not None
                and tries.attempt(faults.edge_insert(old, names, column, value), "INSERT").refused is None
            ]
        else:
            known.notes.append(f"INSERT into {table.name}: no row could be made that version n-1 takes")


def working(
    tries: Tries, rows: Sequence[tables.Row], statement: Callable[[tables.Row], str], kind: str
) -> list[tables.Row]:
    """The rows with which a statement does something."""
    found = []
    for row in rows:
        sql = statement(row)
        if not sql:
            continue
        attempt = tries.attempt(sql, kind)
        if attempt.refused is None and attempt.rows == 1:
            found.append(row)
    return found
