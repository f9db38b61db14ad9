"""Tells clock values and generated keys from real differences when an up runs twice.

Rows that an up inserts may carry other ids and other times the second time; everything else in them must be equal.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from psycopg import sql

from pytest_pgmigrate.execution.rows import PIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.model.evidence import Step
    from pytest_pgmigrate.model.state import Difference, State, TableChange

_GENERATED = re.compile(
    r"nextval\(|\bnow\(|current_(?:timestamp|date|time)|localtime|(?:clock|statement|transaction)_timestamp"
    r"|random\(|uuid",
    re.IGNORECASE,
)
_UUID_CALL = re.compile(r"gen_random_uuid|uuid_generate_v|uuidv[47]", re.IGNORECASE)

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TEXTS = ("text", "character varying", "json", "jsonb")

_COLUMNS = """
SELECT a.attname::text, pg_catalog.format_type(a.atttypid, NULL), a.attidentity::text <> '',
       coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), ''),
       ARRAY(SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_constraint k
               JOIN pg_catalog.pg_class c ON c.oid = k.confrelid
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE k.conrelid = a.attrelid AND k.contype = 'f' AND a.attnum = ANY (k.conkey))
  FROM pg_catalog.pg_attribute a
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attname
"""

_KEY = """
SELECT a.attname::text FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
 WHERE i.indrelid = pg_catalog.to_regclass(%s) AND i.indisprimary ORDER BY a.attnum
"""


@dataclass(frozen=True, slots=True)
class Reduced:
    """A table's rows without what clocks and generators write, as one order-free sum."""

    count: int
    total: int
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notes:
    """What the first up wrote, kept for the comparison with the second."""

    tables: Mapping[str, Reduced] = field(default_factory=dict)
    uuids: bool = False
    since: str = ""
    """When that up started."""


def remember(work: Database, step: Step, changed: Difference, after: State) -> Notes:
    """Reduced sums of every table whose rows the up changed or made."""
    made = {change.key.name for change in changed.objects if change.change == "extra"}
    names = {change.table for change in changed.tables}
    # A column added with DEFAULT now() changes every row without any row of before being different.
    made |= {c.key.relation for c in changed.objects if c.change == "extra" and c.key.kind == "column"}
    names |= {name for name, digest in after.tables.items() if name in made and digest.count}
    if not names:
        return Notes()
    uuids = any(_UUID_CALL.search(run.statement.text) for run in step.statements)
    control = work.control
    return Notes(
        {name: reduce(control, name, step.started_at, names, uuids) for name in sorted(names)}, uuids, step.started_at
    )


def explain(work: Database, notes: Notes, step: Step, difference: Difference) -> tuple[Difference, tuple[str, ...]]:
    """The difference without what clocks and generators explain, and the columns they explain."""
    explained: list[str] = []
    left: list[TableChange] = []
    for change in difference.tables:
        first = notes.tables.get(change.table)
        if first is not None:
            second = reduce(work.control, change.table, step.started_at, set(notes.tables), notes.uuids)
            if (first.count, first.total) == (second.count, second.total):
                explained += [f"{change.table}.{column}" for column in (change.columns or second.left_out)]
                continue
        left.append(change)
    return replace(difference, tables=tuple(left)), tuple(explained)


def clock_columns(work: Database, step: Step, difference: Difference) -> tuple[str, ...]:
    """Columns (``schema.table.column``) that differ only because the step wrote the time into them."""
    found: list[str] = []
    for change in difference.tables:
        if not change.columns or change.old_count != change.new_count:
            continue
        types = {row[0]: row[1] for row in _columns(work.control, change.table)}
        clocks = [c for c in change.columns if types.get(c, "").startswith("timestamp")]
        if len(clocks) == len(change.columns) and all(_now_in(work, change.table, c, step) for c in clocks):
            found += [f"{change.table}.{column}" for column in clocks]
    return tuple(found)


def _columns(connection: psycopg.Connection[Any], table: str) -> list[tuple[Any, ...]]:
    return connection.execute(_COLUMNS, (table,)).fetchall()


def _identifier(table: str) -> sql.Composable:
    # A state names its objects as they are written in SQL, quoted where they must be.
    return sql.SQL(table)


def _window(since: str) -> sql.Composable:
    # Two seconds either way: the client's clock and the server's need not agree to the millisecond.
    return sql.SQL("BETWEEN {}::timestamptz - interval '2 s' AND pg_catalog.clock_timestamp() + interval '2 s'").format(
        sql.Literal(since)
    )


def _now_in(work: Database, table: str, column: str, step: Step) -> bool:
    query = sql.SQL("SELECT count(*) FROM {} WHERE {}::timestamptz {}").format(
        _identifier(table), sql.Identifier(column), _window(step.started_at)
    )
    return bool(work.control.execute(query).fetchall()[0][0])


def _kept(
    connection: psycopg.Connection[Any], table: str, since: str, changed: set[str], uuids: bool
) -> tuple[dict[str, sql.Composable], tuple[str, ...]]:
    """Columns that must be equal each time, as text with clock values replaced; and the names of the others."""
    kept: dict[str, sql.Composable] = {}
    left_out: list[str] = []
    for name, kind, identity, default, references in _columns(connection, table):
        generated = identity or bool(_GENERATED.search(default)) or (uuids and kind == "uuid")
        if generated or changed & set(references):
            left_out.append(name)
            continue
        column = sql.Identifier(name)
        if kind.startswith("timestamp") or kind == "date":
            kept[name] = sql.SQL(
                "CASE WHEN {0}::timestamptz {1} THEN '<clock>' ELSE coalesce({0}::text, E'\\x01') END"
            ).format(column, _window(since))
        elif uuids and kind in _TEXTS:
            # An identifier drawn inside a document is a key like any other.
            kept[name] = sql.SQL("coalesce(pg_catalog.regexp_replace({}::text, {}, '<uuid>', 'g'), E'\\x01')").format(
                column, sql.Literal(_UUID)
            )
        else:
            kept[name] = sql.SQL("coalesce({}::text, E'\\x01')").format(column)
    return kept, tuple(left_out)


def reduce(connection: psycopg.Connection[Any], table: str, since: str, changed: set[str], uuids: bool) -> Reduced:
    """The rows of a table (as written in SQL) without what was written by clocks ``since`` and by generators."""
    with pinned(connection):
        return _reduce(connection, table, since, changed, uuids)


def _reduce(connection: psycopg.Connection[Any], table: str, since: str, changed: set[str], uuids: bool) -> Reduced:
    kept, left_out = _kept(connection, table, since, changed, uuids)
    row = sql.SQL(" || E'\\x02' || ").join(kept.values()) if kept else sql.SQL("''")
    query = sql.SQL("SELECT count(*), coalesce(sum(pg_catalog.hashtextextended({}, 0)), 0) FROM ONLY {}").format(
        row, _identifier(table)
    )
    count, total = connection.execute(query).fetchall()[0]
    return Reduced(int(count), int(total), left_out)


def reduced_rows(
    connection: psycopg.Connection[Any], table: str, since: str, notes: Notes, limit: int
) -> dict[str, dict[str, str]]:
    """At most ``limit`` rows as ``reduce`` sees them, by key as text; {} for a table without a key or with more rows."""
    with pinned(connection):
        return _reduced_rows(connection, table, since, notes, limit)


@contextmanager
def pinned(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Text forms as everywhere else, whatever a script has set in this session (TimeZone, DateStyle …)."""
    with connection.transaction():
        connection.execute(PIN)
        yield


def _reduced_rows(
    connection: psycopg.Connection[Any], table: str, since: str, notes: Notes, limit: int
) -> dict[str, dict[str, str]]:
    kept, _ = _kept(connection, table, since, set(notes.tables), notes.uuids)
    key = [name for (name,) in connection.execute(_KEY, (table,)).fetchall()]
    if not key or not kept:
        return {}
    shown = sql.SQL(", ").join(
        [sql.SQL("concat_ws(', ', {})").format(sql.SQL(", ").join(_named(name) for name in key)), *kept.values()]
    )
    query = sql.SQL("SELECT {} FROM ONLY {} LIMIT {}").format(shown, _identifier(table), limit + 1)
    rows = connection.execute(query).fetchall()
    return {row[0]: dict(zip(kept, row[1:], strict=True)) for row in rows} if len(rows) <= limit else {}


def _named(column: str) -> sql.Composable:
    return sql.SQL("{} || {}::text").format(sql.Literal(f"{column} "), sql.Identifier(column))
