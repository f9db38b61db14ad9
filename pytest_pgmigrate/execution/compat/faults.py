"""The old release's statements once more, on version n: what fails, grouped by its cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.compat import statements
from pytest_pgmigrate.execution.compat.attempts import Tries, counted
from pytest_pgmigrate.model.compat import Break, Refused

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.compat.known import Known
    from pytest_pgmigrate.execution.compat.tables import Column, Now, Old, Row, Table

ABOUT_VALUES = ("23514", "22001", "23505", "23503", "23P01")
"""A CHECK, a length, a unique or foreign key: other plausible rows may pass."""

ABOUT_OTHER_ROWS = ("23505", "23503", "23P01")


def of_table(tries: Tries, known: Known, old: Old, now: Now) -> list[Break]:
    """What of one table's statements fails, and why."""
    table = old.table
    if now.table is None:
        return [_table_gone(tries, known, old, now)]
    found = [_column_gone(tries, old, column, name) for column, name in now.gone]
    kept = [column for column in table.columns if now.columns[column.name] == column.sql]
    if (
        table.oid in known.reads
        and kept
        and (refused := tries.attempt(statements.select(table, kept), "SELECT").refused)
    ):
        found.append(_refused(table, now, refused))
    if not table.writable:
        return found
    names = now.columns
    found += _of_rows(tries, old, now, old.fresh, lambda row: statements.insert(table, row, names), "INSERT")
    if not any(one.cause == "refused" for one in found):
        found += _edge_values(tries, known, old, now)
    updated = known.updated.get(table.oid, [])
    found += _of_rows(tries, old, now, updated, lambda row: statements.update(table, row, names), "UPDATE")
    deleted = known.deleted.get(table.oid, [])
    for one in _of_rows(tries, old, now, deleted, lambda row: statements.delete(table, row, names), "DELETE"):
        # A foreign key is there to keep rows that are referred to: only what stops every DELETE is a change.
        if one.cause == "refused":
            found.append(replace(one, cause="delete"))
    return merged(found)


def merged(found: Sequence[Break]) -> list[Break]:
    """One break a cause: the statements of those that name the same subject together."""
    kept: dict[tuple[str, str, str], Break] = {}
    for one in found:
        key = (one.object if not one.subject else one.relation, one.subject, one.value)
        other = kept.get(key)
        if other is None:
            kept[key] = one
        else:
            first, second = (one, other) if one.cause == "refused" and other.cause != "refused" else (other, one)
            kept[key] = replace(first, statements=(*first.statements, *second.statements))
    return list(kept.values())


# -- names ------------------------------------------------------------------------------------------------------------


def _table_gone(tries: Tries, known: Known, old: Old, now: Now) -> Break:
    table = old.table
    names = statements.same_names(table)
    asked = [("SELECT", statements.select(table, table.columns))] if table.oid in known.reads else []
    if old.fresh:
        asked.append(("INSERT", statements.insert(table, old.fresh[0], names)))
    refused = [r for kind, sql in asked if (r := tries.attempt(sql, kind).refused) is not None]
    kind = {"v": "view", "m": "materialized view"}.get(table.kind, "table")
    return Break("renamed" if now.renamed else "dropped", kind, table.name, table.name, tuple(refused), now=now.renamed)


def _column_gone(tries: Tries, old: Old, column: Column, name: str) -> Break:
    table = old.table
    # The column in question alone, and the key by which a row is found.
    names = {c.name: c.sql if c.name == column.name or c.in_key else "" for c in table.columns}
    asked = [("SELECT", statements.select(table, [column]))]
    if table.writable and old.fresh and not column.drawn and not column.generated:
        asked.append(("INSERT", statements.insert(table, old.fresh[0], names)))
        if old.stored:
            asked.append(("UPDATE", statements.update(table, old.stored[0], names)))
    refused = [r for kind, sql in asked if sql and (r := tries.attempt(sql, kind).refused) is not None]
    return Break(
        "renamed" if name else "dropped",
        "column",
        f"{table.name}.{column.name}",
        table.name,
        tuple(refused),
        now=name,
        type_before=column.type,
    )


# -- rows -------------------------------------------------------------------------------------------------------------


def _of_rows(
    tries: Tries, old: Old, now: Now, rows: Sequence[Row], statement: Callable[[Row], str], kind: str
) -> list[Break]:
    """One break for each thing that refuses rows: ``refused`` where it refuses all of them, else ``value``."""
    groups: dict[str, list[Refused]] = {}
    tried = 0
    for row in rows:
        sql = statement(row)
        if not sql:
            continue
        tried += 1
        refused = tries.attempt(sql, kind).refused
        if refused is not None:
            subject = refused.constraint or refused.column or _retyped(tries, old, now, row, refused)
            groups.setdefault(subject, []).append(refused)
    every = sum(map(len, groups.values())) == tried
    found = []
    for subject, refused_ in groups.items():
        one = _refused(old.table, now, counted(refused_, tried), subject)
        if not every:
            if refused_[0].sqlstate in ABOUT_OTHER_ROWS:
                continue
            one = replace(one, cause="value")
        found.append(one)
    return found


def _refused(table: Table, now: Now, refused: Refused, subject: str = "") -> Break:
    column = table.column(subject or refused.column)
    after = now.table.column(subject or refused.column) if now.table is not None else None
    name = f"{table.name}.{subject}" if (column or after) else table.name
    return Break(
        "refused",
        "column" if column or after else "table",
        name,
        table.name,
        (refused,),
        subject=subject or refused.constraint or refused.column,
        type_before=column.type if column is not None else "",
        type_now=after.type if after is not None else "",
    )


def _retyped(tries: Tries, old: Old, now: Now, row: Row, refused: Refused) -> str:
    """The column whose new type refuses the value: the server does not name it, so each is written alone."""
    assert now.table is not None
    for column in old.table.columns:
        after = now.table.column(column.name)
        if after is None or after.type == column.type or row.get(column.name) is None:
            continue
        sql = statements.update(old.table, row, now.columns, only=column.name)
        # Where the row itself is new, the value is read by the server all the same.
        found = tries.attempt(sql, "UPDATE").refused if sql else None
        if found is not None and found.sqlstate == refused.sqlstate:
            return column.name
    return ""


def _edge_values(tries: Tries, known: Known, old: Old, now: Now) -> list[Break]:
    """NULL where it was allowed, and a default that was relied on, refused from now on."""
    found = []
    for name, value in known.edges.get(old.table.oid, ()):
        refused = tries.attempt(edge_insert(old, now.columns, name, value), "INSERT").refused
        if refused is not None:
            found.append(replace(_refused(old.table, now, refused, name), cause="value", value=value))
    return found


def edge_insert(old: Old, names: Mapping[str, str], column: str, value: str) -> str:
    """A new row with NULL in one column, or without it (``left out``)."""
    if value == "NULL":
        return statements.insert(old.table, old.fresh[0], names, null=column)
    return statements.insert(old.table, old.fresh[0], names, omit=column)
