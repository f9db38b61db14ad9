"""Writes rows: one INSERT for all, row by row when one of them is refused, several tables at once for cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from pytest_pgmigrate.seeding.session import Session, describe
from pytest_pgmigrate.seeding.shape import Column, Row, Table, quote_identifier, quote_literal

BATCH = 1000


@dataclass(frozen=True, slots=True)
class Stored:
    """How many rows went in, and why not all."""

    count: int
    reason: str = ""
    accepted: tuple[Row, ...] = ()
    """Those that went in, where some were refused."""

    elsewhere: str = ""
    """Another table (schema.table) whose unique index refused a row that a trigger wrote there."""


def insert_text(table: Table, columns: Sequence[Column], rows: Sequence[Row], *, skip_conflicts: bool) -> str:
    """The INSERT of these rows. Identity columns get explicit values, drawn from their own sequence."""
    if not columns:
        return f"INSERT INTO {table.ident.quoted} DEFAULT VALUES"
    names = ", ".join(column.quoted for column in columns)
    lines = ",\n".join("(" + ", ".join(quote_literal(row.get(column.name)) for column in columns) + ")" for row in rows)
    tail = " ON CONFLICT DO NOTHING" if skip_conflicts else ""
    return f"INSERT INTO {table.ident.quoted} ({names}) OVERRIDING SYSTEM VALUE VALUES\n{lines}{tail}"


def insert(session: Session, table: Table, columns: Sequence[Column], rows: Sequence[Row]) -> Stored:
    """Insert the rows, leaving out those that a unique index or the server refuses."""
    # ON CONFLICT accepts no table with a deferrable unique or exclusion constraint (SQLSTATE 55000).
    skip = not any(unique.deferrable for unique in table.uniques)
    parts = [
        _insert_batch(session, table, columns, rows[start : start + BATCH], skip)
        for start in range(0, len(rows), BATCH)
    ]
    return Stored(
        sum(part.count for part in parts),
        next((part.reason for part in parts if part.reason), ""),
        tuple(row for part in parts for row in part.accepted),
        next((part.elsewhere for part in parts if part.elsewhere), ""),
    )


def _insert_batch(session: Session, table: Table, columns: Sequence[Column], rows: Sequence[Row], skip: bool) -> Stored:
    if columns:
        result = session.attempt(insert_text(table, columns, rows, skip_conflicts=skip))
        if isinstance(result, int):
            return Stored(result)
    count, reason, refused = 0, "", 0
    accepted: list[Row] = []
    elsewhere = ""
    for row in rows:
        result = session.attempt(insert_text(table, columns, [row], skip_conflicts=skip))
        if isinstance(result, psycopg.Error):
            refused += 1
            reason = reason or describe(result)
            elsewhere = elsewhere or _elsewhere(table, result)
            # A table that refuses everything refuses the rest as well.
            if refused == 30 and not count:
                break
        elif isinstance(result, int):
            count += result
            accepted += [row] * result
    return Stored(count, reason, tuple(accepted) if refused else (), elsewhere)


def _elsewhere(table: Table, error: psycopg.Error) -> str:
    place = f"{error.diag.schema_name}.{error.diag.table_name}"
    return place if error.sqlstate == "23505" and place != str(table.ident) else ""


def refusal(session: Session, table: Table, columns: Sequence[Column], row: Row) -> str:
    """Why a row vanished under ON CONFLICT DO NOTHING; the row is not kept."""
    # Division by zero undoes the INSERT when it succeeds, so that asking changes nothing.
    text = insert_text(table, columns, [row], skip_conflicts=False)
    result = session.attempt(f"WITH stored AS ({text} RETURNING 1) SELECT 1 / (count(*) - count(*)) FROM stored")
    if isinstance(result, psycopg.Error) and result.sqlstate != "22012":
        return describe(result)
    return "the INSERT stored no row: a trigger or rule discards it"


def insert_together(
    session: Session, parts: Sequence[tuple[Table, Sequence[Column], Sequence[Row]]]
) -> list[int] | str:
    """Insert into several tables by one statement: foreign keys are checked when it ends.

    Returns the numbers of rows stored, or why nothing was.
    """
    items, counts = [], []
    for number, (table, columns, rows) in enumerate(parts):
        items.append(f"part{number} AS ({insert_text(table, columns, rows, skip_conflicts=False)} RETURNING 1)")
        counts.append(f"(SELECT count(*) FROM part{number})")
    result = session.attempt(f"WITH {', '.join(items)} SELECT {', '.join(counts)}")
    if isinstance(result, psycopg.Error):
        return describe(result)
    return [int(count) for count in result[0]] if isinstance(result, list) else []


def update(
    session: Session, table: Table, identity: Sequence[str], columns: Sequence[Column], rows: Sequence[Row]
) -> Stored:
    """Set ``columns`` of existing rows, found by the columns named in ``identity`` (system columns too)."""
    if not rows or not columns:
        return Stored(0)
    result = session.attempt(_update_text(table, identity, columns, rows))
    if isinstance(result, int):
        return Stored(result)
    count, reason = 0, ""
    for row in rows:
        result = session.attempt(_update_text(table, identity, columns, [row]))
        if isinstance(result, psycopg.Error):
            reason = reason or describe(result)
        elif isinstance(result, int):
            count += result
    return Stored(count, reason)


def _update_text(table: Table, identity: Sequence[str], columns: Sequence[Column], rows: Sequence[Row]) -> str:
    names = [f"key{number}" for number in range(len(identity))] + [f"new{number}" for number in range(len(columns))]
    lines = ",\n".join(
        "("
        + ", ".join(
            f"{quote_literal(value)}::text"
            for value in (*(row[one] for one in identity), *(row.get(column.name) for column in columns))
        )
        + ")"
        for row in rows
    )
    # The cast by typmod is the assignment's own, so that a value too long is refused and not cut.
    sets = ", ".join(
        f"{column.quoted} = fresh.new{number}::{column.type.text}" for number, column in enumerate(columns)
    )
    match = " AND ".join(
        f"target.{quote_identifier(name)}::text = fresh.key{number}" for number, name in enumerate(identity)
    )
    source = f"(VALUES\n{lines}) fresh ({', '.join(names)})"
    return f"UPDATE {table.ident.only} AS target SET {sets} FROM {source} WHERE {match}"
