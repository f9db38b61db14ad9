"""What a step left that the application's next statement trips over: sequences behind their column, views without data.

``nextval`` does not look into the table: a sequence that stands behind the column it fills gives values that are there
already, and INSERT fails with unique_violation (https://www.postgresql.org/docs/current/functions-sequence.html).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.model.evidence import SequenceBehind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_pgmigrate.model.state import Difference, ObjectKey, State

    Connect = Callable[[], psycopg.Connection[Any]]

# Columns that a sequence fills by default or as identity, alone in a unique index (or key) over all rows. Partitions are
# judged through their root. 1259 is pg_class, 2604 pg_attrdef; each join finds its rows by an index of pg_depend.
_FILLED = """
    with touched as (
        select distinct coalesce(pg_partition_root(t.oid), t.oid) as oid
        from unnest(%s::text[]) n, lateral (select to_regclass(n)::oid) t(oid) where t.oid is not null
    ), used as (
        select d.refobjid as sequence, a.adrelid as relation, a.adnum as number
        from touched t join pg_attrdef a on a.adrelid = t.oid
        join pg_depend d on d.classid = 2604 and d.objid = a.oid and d.refclassid = 1259
        union
        select t.oid, a.adrelid, a.adnum
        from touched t join pg_depend d on d.refclassid = 1259 and d.refobjid = t.oid and d.classid = 2604
        join pg_attrdef a on a.oid = d.objid
        union
        select d.objid, t.oid, d.refobjsubid
        from touched t join pg_depend d on d.refclassid = 1259 and d.refobjid = t.oid and d.classid = 1259
        where d.deptype = 'i' and d.refobjsubid > 0
        union
        select t.oid, d.refobjid, d.refobjsubid
        from touched t join pg_depend d on d.classid = 1259 and d.objid = t.oid and d.refclassid = 1259
        where d.deptype = 'i' and d.refobjsubid > 0
    )
    select quote_ident(sn.nspname) || '.' || quote_ident(sc.relname), quote_ident(n.nspname) || '.' || quote_ident(c.relname),
        quote_ident(a.attname), s.seqincrement, s.seqmin, s.seqmax
    from used u
    join pg_sequence s on s.seqrelid = u.sequence
    join pg_class sc on sc.oid = s.seqrelid join pg_namespace sn on sn.oid = sc.relnamespace
    join pg_class c on c.oid = u.relation join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum = u.number
    where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
        and a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
        and exists (select from pg_index i where i.indrelid = c.oid and i.indisunique and i.indisvalid
            and i.indnkeyatts = 1 and i.indkey[0] = a.attnum and i.indpred is null)
    order by 1, 2
"""
# The first value that nextval will meet, and the last one in its way. A descending sequence meets them from above.
_MET = """
    with s as (select case when is_called then
            greatest(least(last_value::numeric + {increment}, 9223372036854775807), -9223372036854775808)::int8
            else last_value end as next from {sequence})
    select s.next, (select {nearest}(c.{column}) from {table} c where {ahead}),
        (select {furthest}(c.{column}) from {table} c where {ahead})
    from s
"""


def behind(
    connection: psycopg.Connection[Any], changed: Difference, after: State, before: Connect | None
) -> tuple[SequenceBehind, ...]:
    """The sequences of what changed that stand behind their column; those that did so ``before`` are left out.

    Nothing is looked at but tables with rows and sequences in ``changed``, which leads to the state ``after``. What the
    role may not read is left out too.
    """
    names = _touched(changed, after)
    found = _behind(connection, names) if names else ()
    if not found or before is None:
        return found
    old = before()
    try:
        known = {(item.sequence, item.column) for item in _behind(old, names)}
    finally:
        old.close()
    return tuple(item for item in found if (item.sequence, item.column) not in known)


def unpopulated(changed: Difference, before: State, after: State) -> tuple[str, ...]:
    """Materialized views that cannot be read after, and could, or were not there, before; ``changed`` lies between."""
    views = {change.key for change in changed.objects if change.key.kind == "materialized view"}
    return tuple(sorted(key.name for key in views if _without_data(key, after) and not _without_data(key, before)))


def _without_data(view: ObjectKey, state: State) -> bool:
    return view in state.objects and state.objects[view].get("populated") is False


def _touched(changed: Difference, after: State) -> list[str]:
    """Tables and sequences by which a sequence may have come to stand behind; most migrations have none."""
    names = {change.table for change in changed.tables}
    names |= {change.name for change in changed.sequences if not change.forward}
    for change in changed.objects:
        if change.change == "missing":
            continue
        if change.key.kind in ("table", "sequence"):
            names.add(change.key.name)
        elif change.key.kind == "column" and change.attribute in ("default", "identity"):
            names.add(change.key.relation)
    empty = {name for name in names if name in after.tables and not after.tables[name].count}
    return sorted(names - empty)


def _behind(connection: psycopg.Connection[Any], names: Iterable[str]) -> tuple[SequenceBehind, ...]:
    found = []
    try:
        for row in connection.execute(_FILLED, (list(names),)).fetchall():
            item = _met(connection, *row)
            if item is not None:
                found.append(item)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.LockNotAvailable):
        return tuple(found)
    return tuple(found)


def _met(
    connection: psycopg.Connection[Any],
    sequence: str,
    table: str,
    column: str,
    increment: int,
    minimum: int,
    maximum: int,
) -> SequenceBehind | None:
    up = increment > 0
    ahead = f"c.{column} {'>=' if up else '<='} s.next and c.{column} between {minimum} and {maximum}"
    if abs(increment) > 1:
        ahead += f" and (c.{column} - s.next) % {increment} = 0"
    query = _MET.format(
        sequence=sequence,
        table=table,
        column=column,
        increment=increment,
        ahead=ahead,
        nearest="min" if up else "max",
        furthest="max" if up else "min",
    )
    row = connection.execute(query.encode()).fetchone()
    if row is None or row[1] is None:
        return None
    following, taken, furthest = map(int, row)
    return SequenceBehind(sequence, table, column, following, taken, furthest, increment)
