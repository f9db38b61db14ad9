"""What an application does on a table, as statements that can be run and undone.

They pick a row that nobody has locked, and write it, so that foreign keys and triggers act as they would in production.
Reading the row, and the rows it needs, takes no lock that the statement itself does not take more strongly, or that its
foreign keys do not take anyway.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.blocking.statements import AppStatement, Rule
from pytest_pgmigrate.execution.blocking.values import fresh, some_partner, unused_partner
from pytest_pgmigrate.model.locks import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_pgmigrate.execution.blocking.tables import Column, ForeignKey, Table

_RESTRICTS = ("a", "r")
_WRITE = Mode.ROW_EXCLUSIVE
_SHARE = Mode.ROW_SHARE


def statements_of(table: Table) -> tuple[AppStatement, ...]:
    """All statements of one table. Views and materialized views are read only."""
    return tuple(_statements(table))


def _statements(table: Table) -> Iterator[AppStatement]:
    read = _made(table, f"SELECT from {table.name}", f"SELECT * FROM {table.sql} LIMIT 1")
    # The rows of a foreign table are on another server, which is not ours to ask.
    yield replace(read, runs=table.kind != "f")
    if table.kind not in ("r", "p"):
        return
    for strength in ("UPDATE", "KEY SHARE"):
        sql = f"SELECT * FROM {table.sql} LIMIT 1 FOR {strength} SKIP LOCKED"
        yield _made(table, f"SELECT … FOR {strength} of {table.name}", sql)
    yield _made(table, f"INSERT into {table.name}", _insert(table), _insert_rules(table))
    yield from _updates(table)
    restricting = tuple(key for key in table.referenced_by if key.on_delete in _RESTRICTS)
    sql = f"DELETE FROM {table.sql} t WHERE {_one_row(table, restricting)}"
    yield _made(table, f"DELETE from {table.name}", sql, _partner_rules(table, "on_delete"))


def _updates(table: Table) -> Iterator[AppStatement]:
    keys = {number for _, numbers in table.uniques for number in numbers}
    linked = {number for key in table.references for number in key.own}
    writable = [column for column in table.columns if column.writable]
    plain = sorted(writable, key=lambda column: (column.number in keys, column.number in linked))
    if plain:
        sql = f"UPDATE {table.sql} t SET {plain[0].sql} = t.{plain[0].sql} WHERE {_one_row(table)}"
        yield _made(table, f"UPDATE of {table.name}", sql)
    for key in table.references:
        columns = [table.column(number) for number in key.own]
        if all(column.writable for column in columns):
            yield _made(table, _link_label(table, columns), _relink(table, key, columns), _reference_rules(key))
    changed = _key_change(table)
    if changed is not None:
        column, value = changed
        restricting = tuple(key for key in table.referenced_by if key.on_update in _RESTRICTS)
        sql = f"UPDATE {table.sql} p SET {column.sql} = {value} WHERE {_one_row(table, restricting, name='p')}"
        yield _made(table, f"UPDATE of the key of {table.name}", sql, _partner_rules(table, "on_update"))


def _made(table: Table, label: str, sql: str, rules: tuple[Rule, ...] = ()) -> AppStatement:
    return AppStatement(label, sql, table.name, table.oid, rules=rules, acts=table.acts or table.kind == "v")


def _one_row(table: Table, restricting: tuple[ForeignKey, ...] = (), name: str = "t") -> str:
    """The condition for one row that no other transaction has locked and that no ``restricting`` key refers to."""
    leaf = table.leaf
    alone = " AND ".join(
        f"NOT EXISTS (SELECT FROM {key.other_sql} c WHERE "
        + " AND ".join(
            f"c.{theirs} = o.{table.column(own).sql}" for own, theirs in zip(key.own, key.theirs, strict=True)
        )
        + ")"
        for key in restricting
    )
    where = f" WHERE {alone}" if alone else ""
    row = f"{name}.ctid = (SELECT o.ctid FROM ONLY {leaf.sql} o{where} LIMIT 1 FOR NO KEY UPDATE OF o SKIP LOCKED)"
    return row if leaf.oid == table.oid else f"{name}.tableoid = {leaf.oid} AND {row}"


def _insert(table: Table) -> str:
    """A copy of one row with other values in its unique columns. Every column is named: no default, no nextval()."""
    values = _insert_values(table)
    columns = [column for column in table.columns if not column.generated]
    if not columns:
        return f"INSERT INTO {table.sql} DEFAULT VALUES"
    names = ", ".join(column.sql for column in columns)
    override = " OVERRIDING SYSTEM VALUE" if any(column.identity == "a" for column in columns) else ""
    copied = ", ".join(values.get(column.number, f"p.{column.sql}") for column in columns)
    return f"INSERT INTO {table.sql} ({names}){override} SELECT {copied} FROM ONLY {table.leaf.sql} p LIMIT 1"


def _insert_values(table: Table) -> dict[int, str]:
    values: dict[int, str] = {}
    for key in table.references:
        value = some_partner(table, key)
        if value is not None:
            values[key.own[0]] = value
    settled: set[int] = set()
    for _, numbers in table.uniques:
        if settled.isdisjoint(numbers):
            change = _change(table, numbers)
            if change is not None:
                values[change[0].number] = change[1]
                settled.add(change[0].number)
    return values


def _change(table: Table, numbers: tuple[int, ...]) -> tuple[Column, str] | None:
    """Which of the columns of a unique index to change, and to what; None when there is no simple way."""
    linked = {number for key in table.references for number in key.own}
    columns = [table.column(number) for number in numbers]
    free = [c for c in columns if c.number not in linked and not c.generated]
    for column in sorted(
        free, key=lambda c: (c.number in table.partition_columns, c.type not in ("int4", "int8", "uuid"))
    ):
        value = fresh(table, column)
        if value is not None:
            return column, value
    for key in table.references:
        if key.own[0] in numbers:
            value = unused_partner(table, key, tuple(columns))
            if value is not None:
                return table.column(key.own[0]), value
    return None


def _key_change(table: Table) -> tuple[Column, str] | None:
    """The column of the key to change: of what others refer to, else of the primary key."""
    keys = [key.own for key in table.referenced_by] + [numbers for primary, numbers in table.uniques if primary]
    for numbers in keys:
        change = _change(table, numbers)
        if change is not None and change[0].writable:
            return change
    return None


def _relink(table: Table, key: ForeignKey, columns: list[Column]) -> str:
    """Point one row to another row of the referenced table."""
    theirs = [f"r.{name}" for name in key.theirs]
    own = [f"t.{column.sql}" for column in columns]
    sets = ", ".join(f"{column.sql} = {value}" for column, value in zip(columns, theirs, strict=True))
    some = (
        f"(SELECT {', '.join(key.theirs)} FROM {key.other_sql} WHERE ({', '.join(key.theirs)}) IS NOT NULL LIMIT 2) r"
    )
    return (
        f"UPDATE {table.sql} t SET {sets} FROM {some}"
        f" WHERE {_one_row(table)} AND ({', '.join(theirs)}) IS DISTINCT FROM ({', '.join(own)})"
    )


def _link_label(table: Table, columns: list[Column]) -> str:
    return f"UPDATE of {', '.join(column.name for column in columns)} in {table.name}"


def _insert_rules(table: Table) -> tuple[Rule, ...]:
    leaf = table.leaf
    partition = (Rule(leaf.oid, _WRITE, leaf.indexes),) if leaf.oid != table.oid else ()
    return (*partition, *(rule for key in table.references for rule in _reference_rules(key)))


def _reference_rules(key: ForeignKey) -> tuple[Rule, ...]:
    """A new reference is looked up in the referenced table FOR KEY SHARE."""
    return (Rule(key.other, _SHARE, key.other_indexes),)


def _partner_rules(table: Table, action: str) -> tuple[Rule, ...]:
    """Referencing tables are searched FOR KEY SHARE, or written, as ON DELETE or ON UPDATE says."""
    return tuple(
        Rule(key.other, _SHARE if getattr(key, action) in _RESTRICTS else _WRITE, key.other_indexes)
        for key in table.referenced_by
    )
