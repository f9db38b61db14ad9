"""Rows kept on the server while lane B runs, so that none of them is ever brought into our process.

Copies stand in our own schema of the database that lane B spends, unlogged: nothing of them reaches the replica. Small
tables share one table, whose rows hold arrays of text; a large one gets a copy with columns of their own types, which
costs a third of that (figures: tests/benchmarks/equality.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.execution.ledger import SCHEMA
from pytest_pgmigrate.execution.rows import Table, pinned

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.rows import Column

LARGE = 256 * 1024
"""Bytes from which on a table gets a copy of its own."""

_SHARED = f"{SCHEMA}.later_rows"
_BEFORE, _LATER, _GONE, _KEYS = range(4)
_BATCH = 50
# Event triggers of the user are not for statements of ours; who is no superuser cannot turn them off.
_NO_TRIGGERS = (
    "SELECT set_config('session_replication_role', 'replica', true) FROM pg_catalog.pg_roles"
    " WHERE rolname = current_user AND rolsuper"
)


@dataclass(frozen=True, slots=True)
class Copy:
    """The rows of a table as they were at one moment, ``b`` in FROM."""

    table: Table
    moment: int
    own: str = ""
    """The copy's own table, when it does not share one."""

    @property
    def source(self) -> str:
        """What stands in FROM."""
        if self.own:
            return f"(SELECT ctid AS place, * FROM {self.own}) b"
        return f"(SELECT ctid AS place, key, cells FROM {_SHARED} WHERE moment = {self.moment} AND oid = {self.table.oid}) b"

    def text(self, column: Column) -> str:
        """A value as text."""
        place = list(self.table.columns).index(column.name) + 1
        return f'b.c{place}::text COLLATE pg_catalog."C"' if self.own else f"b.cells[{place}]"

    def equals(self, column: Column, now: Table, operator: str) -> str:
        """The kept value beside the one of ``n``, which is the table now."""
        other = now.columns[column.name]
        if self.own and column.exact and not column.collated and column.type == other.type:
            place = list(self.table.columns).index(column.name) + 1
            return f"b.c{place} {operator} {other.value('n')}"
        return f"{self.text(column)} {operator} {other.text('n')}"

    def key(self) -> str:
        """The key as an array of text."""
        if not self.own:
            return "b.key"
        return f"ARRAY[{', '.join(self.text(self.table.columns[name]) for name in self.table.key)}]"

    def joined(self, now: Table) -> str:
        """FROM with every kept row and, as ``n``, the row that has its key now, if there is one."""
        if self.own:
            on = " AND ".join(self.equals(self.table.columns[name], now, "=") for name in now.key)
        else:
            on = f"b.key = {key_of(now)}"
        return f"FROM {self.source} LEFT JOIN {now.source} n ON {on}"


def key_of(table: Table) -> str:
    """The key of ``n`` as an array of text."""
    return f"ARRAY[{', '.join(table.columns[name].text('n') for name in table.key)}]"


def absent(table: Table) -> str:
    """That a join found no row of the table ``n``: columns of a primary key are never NULL."""
    return f"{table.columns[table.key[0]].value('n')} IS NULL"


class Kept:
    """What is kept in one database. ``failed`` names the tables that could not be read, with the server's reason."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.failed: dict[str, str] = {}
        self._others: dict[str, Copy] = {}
        self._since = ""
        with pinned(connection):
            connection.execute(_NO_TRIGGERS)
            connection.execute(
                f"CREATE SCHEMA IF NOT EXISTS {SCHEMA};"
                f"CREATE UNLOGGED TABLE {_SHARED} (moment int4, oid int8, key text[], cells text[])".encode()
            )

    def before(self, tables: Iterable[Table]) -> dict[str, Copy]:
        """Keep all rows of these tables, which have keys; by name, without those that could not be read."""
        copies = {t.name: Copy(t, _BEFORE, f"{SCHEMA}.later_{t.oid}" if t.size >= LARGE else "") for t in tables}
        self._each({name: _copied(copy) for name, copy in copies.items()})
        return {name: copy for name, copy in copies.items() if name not in self.failed}

    def gone(self, copy: Copy, now: Table) -> None:
        """Note which keys of a copy the table no longer has."""
        self._each({now.name: _note(_GONE, now, f"{copy.key()}, NULL {copy.joined(now)} WHERE {absent(now)}")})

    def keys(self, table: Table) -> None:
        """Keep the keys that the table has before later rows are written, where they are other ones than before."""
        self._each({table.name: _note(_KEYS, table, f"{key_of(table)}, NULL FROM {table.source} n")})
        self._others[table.name] = Copy(table, _KEYS)

    def mark(self) -> None:
        """From here on rows are later ones."""
        row = self.connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::xid::text").fetchone()
        assert row is not None
        self._since = str(row[0])

    def later(self, tables: Mapping[str, Table], before: Mapping[str, Copy]) -> dict[str, Copy]:
        """Keep the rows written since ``mark``; those that only were written again have a key that is known."""
        condition = f"age(n.xmin) <= age('{self._since}'::xid)"
        copies = {name: Copy(table, _LATER) for name, table in tables.items()}
        self._each(
            {
                name: _note(_LATER, t, f"{key_of(t)}, ARRAY[{_cells(t)}] FROM {t.source} n WHERE {condition}")
                for name, t in tables.items()
            }
        )
        known = {name: self.known(name, before) for name in tables if name in before}
        shared = [copy for copy in known.values() if not copy.own]
        statements = [
            f"DELETE FROM {_SHARED} l USING {copy.source} WHERE l.moment = {_LATER} AND l.oid = {oid} AND l.key = {copy.key()}"
            for copy, oid in ((copy, tables[name].oid) for name, copy in known.items() if copy.own)
        ]
        for moment in (_BEFORE, _KEYS):
            oids = [str(copy.table.oid) for copy in shared if copy.moment == moment]
            statements.append(
                f"DELETE FROM {_SHARED} l USING {_SHARED} b WHERE l.moment = {_LATER} AND b.moment = {moment}"
                f" AND l.oid = b.oid AND l.key = b.key AND l.oid = ANY ('{{{','.join(oids)}}}')"
            )
        with pinned(self.connection):
            self.connection.execute("; ".join(statements).encode())
        return {name: copy for name, copy in copies.items() if name not in self.failed}

    def known(self, name: str, before: Mapping[str, Copy]) -> Copy:
        """The rows whose keys a table had before later rows were written."""
        return self._others.get(name) or before[name]

    def numbers(self, queries: Mapping[str, str]) -> dict[str, list[int]]:
        """The one row, an array of numbers, that each query gives, by table; without those that could not be read."""
        found: dict[str, list[int]] = {}
        for names in _batches(queries):
            try:
                with pinned(self.connection):
                    text = " UNION ALL ".join(f"SELECT {at}, ({queries[name]})" for at, name in enumerate(names))
                    rows = self.connection.execute(text.encode()).fetchall()
                found.update((names[at], numbers) for at, numbers in rows)
            except psycopg.Error as error:
                self._raise_or_note(error, names)
                if len(names) > 1:
                    for name in names:
                        found.update(self.numbers({name: queries[name]}))
        return found

    def delete_reused(self, table: Table) -> None:
        """Delete rows with a key noted as ``gone``; what others refer to stays."""
        source = f"{_SHARED} g WHERE g.moment = {_GONE} AND g.oid = {table.oid} AND g.key = {key_of(table)}"
        try:
            with pinned(self.connection):
                self.connection.execute(f"DELETE FROM {table.source} n USING {source}".encode())
        except psycopg.Error:
            with suppress(psycopg.Error), pinned(self.connection):
                self.connection.execute(_one_by_one(table, source).encode())

    def _each(self, statements: Mapping[str, str]) -> None:
        """Run a statement for each table, together as far as they pass."""
        for names in _batches(statements):
            try:
                with pinned(self.connection):
                    self.connection.execute(_NO_TRIGGERS)
                    self.connection.execute("; ".join(statements[name] for name in names).encode())
            except psycopg.Error as error:
                self._raise_or_note(error, names)
                if len(names) > 1:
                    for name in names:
                        self._each({name: statements[name]})

    def _raise_or_note(self, error: psycopg.Error, names: Collection[str]) -> None:
        if self.connection.closed:
            raise error
        if len(names) == 1:
            self.failed.update(dict.fromkeys(names, error.diag.message_primary or str(error).splitlines()[0]))


def _batches(named: Iterable[str]) -> list[Sequence[str]]:
    names = list(named)
    return [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]


def _copied(copy: Copy) -> str:
    table = copy.table
    if not copy.own:
        return _note(_BEFORE, table, f"{key_of(table)}, ARRAY[{_cells(table)}] FROM {table.source} n")
    cells = ", ".join(f"{column.kept('n')} AS c{at}" for at, column in enumerate(table.columns.values(), 1))
    return f"CREATE UNLOGGED TABLE {copy.own} AS SELECT {cells} FROM {table.source} n"


def _note(moment: int, table: Table, rest: str) -> str:
    return f"INSERT INTO {_SHARED} SELECT {moment}, {table.oid}, {rest}"


def _cells(table: Table) -> str:
    return ", ".join(column.text("n") for column in table.columns.values())


def _one_by_one(table: Table, source: str) -> str:
    """The same row by row, each in a subtransaction (a block with EXCEPTION, which PL/pgSQL makes one)."""
    body = f"""
        DECLARE place record;
        BEGIN
            FOR place IN SELECT n.tableoid AS t, n.ctid AS c FROM {table.source} n, {source} LOOP
                BEGIN
                    DELETE FROM {table.source} n WHERE n.tableoid = place.t AND n.ctid = place.c;
                EXCEPTION WHEN OTHERS THEN NULL;
                END;
            END LOOP;
        END"""
    return "DO " + _literal(body)


def _literal(text: str) -> str:
    tag = "$pgmigrate$"
    return f"{tag}{text}{tag}"
