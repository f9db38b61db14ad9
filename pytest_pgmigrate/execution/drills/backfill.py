"""A batched backfill on more rows than its batches take: nothing left out, and resumable when cut after a batch.

A row without a value proves nothing by itself, for there may be none for it. It counts as left out only when the same up
fills it in another place: run once more, or under the key of a row that was filled, or without the other rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from pytest_pgmigrate.execution.database import OUR_SCHEMAS
from pytest_pgmigrate.execution.drills import _backfill_rows as rows
from pytest_pgmigrate.execution.drills import _batches, _old_value
from pytest_pgmigrate.execution.drills._backfill_rows import Target
from pytest_pgmigrate.execution.drills._cut import cut_and_repeat, digests
from pytest_pgmigrate.model.backfill import BackfillEvidence, LeftOut
from pytest_pgmigrate.model.finding import Part
from pytest_pgmigrate.model.migration import Direction, Statement

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.drills import Context
    from pytest_pgmigrate.model.watch import Relation, StatementSeen

PART = Part.DATA
_SHOWN = 5
# What can leave rows out for their number or their key: a loop, a limit, a key compared with a number.
_PARTIAL = re.compile(r"\bLOOP\b|\bLIMIT\b|\bFETCH\b|\bBETWEEN\b|[<>]=?\s*-?\d|%\s*\d|\bmod\s*\(", re.IGNORECASE)
# One value is put in place of another by hand as well: what a loop or a limit leaves, nobody picked.
_BATCHED = re.compile(r"\bLOOP\b|\bLIMIT\b|\bFETCH\b", re.IGNORECASE)
_ROUTINES = """
SELECT p.proname, p.prosrc FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname <> ALL (%s)
"""
_TABLES = """
SELECT c.oid, n.nspname || '.' || c.relname FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND NOT c.relispartition AND c.oid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)
"""
_UPDATE = re.compile(
    r"\bUPDATE\s+(?:ONLY\s+)?(?P<table>[\w.\"]+)(?:\s+(?:AS\s+)?\w+)?\s+SET\s+(?P<set>.*?)(?:\bWHERE\b|\bFROM\b|;|$)",
    re.IGNORECASE | re.DOTALL,
)
_IN_TRANSACTION = re.compile(r"\b(COMMIT|ROLLBACK)\b", re.IGNORECASE)


def run(context: Context) -> BackfillEvidence | None:
    """Try the first column that the up fills in batches, else the first whose old value it replaces so; None without."""
    written = list(_partial(context))
    for find, made in ((_target, _PARTIAL), (_old_value.target_of, _BATCHED)):
        for statement, text, oid, table in written:
            found = find(context, oid, table, text) if made.search(text) else None
            if found is not None:
                target, existing = found
                try:
                    return _try(context, target, existing, statement, bool(_IN_TRANSACTION.search(text)))
                except psycopg.Error:
                    return None  # an up that fails half-way may have taken the column away: nothing is known
    return None


def _partial(context: Context) -> Iterator[tuple[Statement, str, int, str]]:
    """Statements that may leave rows out, with their whole text and a table that they write."""
    for seen in context.up.watched:
        text = _text_of(context, seen.statement)
        if _PARTIAL.search(text):
            for oid, table in _written(context, seen, text).items():
                yield seen.statement, text, oid, table


def _written(context: Context, seen: StatementSeen, text: str) -> dict[int, str]:
    """Tables by oid that were there before, and that the statement updated or would update by its text."""
    found = {c.relation.oid: c.relation.name for c in seen.counts if c.updated and _ordinary(c.relation)}
    if found:
        return found
    # Few rows may be less than a page: a loop that leaves the last page out has then written none.
    names = [match["table"] for match in _UPDATE.finditer(text)]
    return dict(context.work.control.execute(_TABLES, (names,)).fetchall()) if names else {}


def _ordinary(relation: Relation) -> bool:
    return not relation.new and relation.kind == "table" and not relation.parents


def _text_of(context: Context, statement: Statement) -> str:
    """The statement with the bodies of the user's routines that it names."""
    text = statement.text
    if statement.kind not in ("call_stmt", "select_stmt", "do_stmt"):
        return text
    routines = context.work.control.execute(_ROUTINES, (list(OUR_SCHEMAS),)).fetchall()
    return "\n".join([text, *(body for name, body in routines if re.search(rf"\b{re.escape(name)}\b", text))])


def _target(context: Context, oid: int, table: str, text: str) -> tuple[Target, bool] | None:
    """The column that has fewer NULLs after the up, or would get values by its text, and whether it was there before."""
    if table.count(".") != 1 or _old_value.looks_at_others(text, table):
        return None
    base = context.space.connect_base()
    try:
        before = _nulls(base, oid, table)
        after = _nulls(context.work.control, oid, table)
        key, whole, identity = rows.key_of(base, oid)
    except psycopg.Error:
        return None
    finally:
        base.close()
    total = before.pop("", 0)
    assigned = " , ".join(match["set"] for match in _UPDATE.finditer(text))
    for column, empty in after.items():
        # Columns that the text names: a row trigger may fill others, which no batch leaves out.
        named = column and re.search(rf"\b{re.escape(column)}\b", text)
        filled = empty < before.get(column, total)
        none_yet = empty == total and re.search(rf"\b{re.escape(column)}\s*=\s*(?!NULL\b)", assigned, re.IGNORECASE)
        if named and (filled or (none_yet and total)):
            target = Target(
                oid, table, column, key, whole, identity, _old_value.batch(text), capacity=_old_value.capacity(text)
            )
            return target, column in before
    return None


def _nulls(connection: psycopg.Connection[Any], oid: int, table: str) -> dict[str, int]:
    """Rows without a value by column; under "" all rows. Generated columns are left out."""
    names = [name for (name,) in connection.execute(_old_value.COLUMNS, (oid,)).fetchall()]
    counts = [sql.SQL("count(*) FILTER (WHERE {} IS NULL)").format(sql.Identifier(name)) for name in names]
    query = sql.SQL("SELECT count(*), {} FROM {}").format(
        sql.SQL(", ").join(counts), sql.Identifier(*table.split(".", 1))
    )
    [row] = connection.execute(query).fetchall()
    return dict(zip(["", *names], map(int, row), strict=True))


def _try(
    context: Context, target: Target, existing: bool, statement: Statement, commits: bool
) -> BackfillEvidence | None:
    database = rows.prepare(context, target, existing=existing)
    if database is None:
        return None
    spare: Database | None = None
    try:
        # Copied before anything runs on it: making the rows anew takes many times as long.
        spare = rows.again(context, database) if commits else None
        found = _whole(context, database, target, statement)
        if found is None:
            return None
        remaining = rows.left(database.control, target)
        clean = digests(database.control) if commits and not remaining else None
        again = _filled_again(context, database, target, remaining) if remaining else 0
        if not remaining and spare is not None and clean is not None and found.transactions > 1:
            return replace(found, cut=cut_and_repeat(context, spare, target, statement, clean))
    finally:
        for spent in (database, spare):
            if spent is not None:
                context.space.spend(spent)
    if remaining:
        return replace(found, left=_left(context, target, statement, existing, remaining, again, found.rows))
    return found


def _whole(context: Context, database: Database, target: Target, statement: Statement) -> BackfillEvidence | None:
    """The up from start to end, its batches noted; None when it fails having kept nothing, so that nothing is known."""
    found = BackfillEvidence(target.table, statement, rows.count(database.control, target), target.limit)
    try:
        _batches.watch(database, target, cut=False)
    except psycopg.Error:
        return None
    step = database.run("up on many rows", context.migration, Direction.UP, watched=False)
    seen = _batches.read(database)
    if step.error is not None and not seen.transactions:
        return None
    _batches.unwatch(database, target)
    return replace(
        found,
        statements=seen.statements,
        transactions=seen.transactions,
        most_in_statement=seen.most_in_statement,
        most_in_transaction=seen.most_in_transaction,
        lag=seen.lag,
    )


def _filled_again(context: Context, database: Database, target: Target, remaining: list[str]) -> int:
    """How many of the rows left a second run fills."""
    database.run("up on many rows again", context.migration, Direction.UP, watched=False)
    return len(remaining) - len(set(remaining) & set(rows.left(database.control, target)))


def _left(
    context: Context, target: Target, statement: Statement, existing: bool, remaining: list[str], again: int, total: int
) -> LeftOut | None:
    """Whether the rows left could have been filled; None where what is in them says that they could not."""
    if _depends_on_the_others(context, target, existing):
        return None
    first = _first_new(context, target) if target.whole else 0
    verb, done = ("changes", "changed") if target.old else ("fills", "filled")
    how, proven = f"a second run of the up {verb} {again:,} of them", remaining if again else []
    if not proven and target.whole:
        proven = _under_other_keys(context, target, existing, remaining, first)
        how = f"the same rows are {done} under other keys"
    if not proven and target.key:
        proven = _alone(context, target, existing, remaining)
        how = f"they are {done} when no other rows are there"
    if not proven:
        return None
    numbers = [int(key) for key in proven] if target.whole else []
    # Behind the gap stand the last rows of all; prepare() put them there.
    gap = first + target.rows + max(target.limit, 10)
    return LeftOut(
        table=target.table,
        column=target.column,
        statement=statement,
        total=total,
        rows=len(proven),
        keys=tuple(proven[:_SHOWN]),
        negative=sum(number < 0 for number in numbers),
        after_gap=sum(number > gap for number in numbers),
        how=how,
        old=target.old,
        capacity=target.capacity,
    )


def _first_new(context: Context, target: Target) -> int:
    """The largest key of the base: every key above, or below zero, is one of our further rows."""
    base = context.space.connect_base()
    try:
        return int(base.execute(target.sql("SELECT coalesce(max({key}), 0) FROM {table}")).fetchall()[0][0])
    finally:
        base.close()


def _under_other_keys(context: Context, target: Target, existing: bool, remaining: list[str], first: int) -> list[str]:
    """Rows of ours that were left, and that the up fills once they have changed keys with rows that were filled."""
    database = rows.prepare(context, target, existing=existing)
    if database is None:
        return []
    try:
        # Nothing refers to rows of ours, so that a key means nothing but a place.
        moved = rows.swap(database, target, remaining, lambda key: key > first or key < 0)
        if not moved:
            return []
        database.run("up on swapped rows", context.migration, Direction.UP, watched=False)
        still = set(rows.left(database.control, target))
        filled = [old for old, new in moved.items() if new not in still]
        # Beyond PAIRS, rows with the same fate as the tried ones are taken to share its cause.
        return remaining if filled and len(filled) == len(moved) else filled
    finally:
        context.space.spend(database)


def _alone(context: Context, target: Target, existing: bool, remaining: list[str]) -> list[str]:
    database = rows.prepare(context, target, existing=existing)
    if database is None:
        return []
    try:
        if not rows.keep_only(database, target, remaining):
            return []
        database.run("up on the rows left", context.migration, Direction.UP, watched=False)
        still = set(rows.left(database.control, target))
        return remaining if len(still) < len(remaining) else []
    finally:
        context.space.spend(database)


def _depends_on_the_others(context: Context, target: Target, existing: bool) -> bool:
    """Whether the few rows of lane A, less than a batch, already get a value or not by what the others are: the ten best,
    the last one. Such a column is not filled row by row, and has no row that is left out.
    """
    if target.capacity:
        return False  # batch after batch, whatever the rows are
    # No row of lane A need have had the value that is replaced.
    few = _few_left(context, target, existing, []) if target.old else rows.left(context.work.control, target)
    if not few or not target.key:
        return False
    try:
        return len(_few_left(context, target, existing, few)) < len(few)
    except psycopg.Error:
        return True


def _few_left(context: Context, target: Target, existing: bool, only: list[str]) -> list[str]:
    """Of the rows of the base, ``only`` these where any are named, those that the up leaves. Raises psycopg.Error."""
    database = context.space.clone_base()
    try:
        if only and not rows.keep_only(database, target, only):
            return []
        if target.old and existing and not rows.reset(database, target):
            return []
        database.run("up on the rows without a value", context.migration, Direction.UP, watched=False)
        return rows.left(database.control, target)
    finally:
        context.space.spend(database)
