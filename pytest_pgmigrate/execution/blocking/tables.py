"""What the catalog says of the tables whose application is imagined: columns, keys, indexes, foreign keys, partitions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.names import parts

if TYPE_CHECKING:
    from collections.abc import Collection

    import psycopg


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``sql`` is its name quoted where needed, ``type`` the name in pg_type under any domain."""

    number: int
    name: str
    sql: str
    type: str
    modifier: int
    identity: str
    """``a`` ALWAYS, ``d`` BY DEFAULT, empty: none."""

    generated: bool
    not_null: bool

    @property
    def writable(self) -> bool:
        """An UPDATE may give it a value."""
        return not self.generated and self.identity != "a"


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key, from whichever end it is seen; ``other`` is the table at the far end."""

    other: int
    other_sql: str
    other_kind: str
    other_indexes: tuple[int, ...]
    own: tuple[int, ...]
    """Column numbers at this end, those of the table that was asked for."""

    theirs: tuple[str, ...]
    """Columns at the far end, as written in SQL, in the same order."""

    on_delete: str
    on_update: str
    """``a`` no action, ``r`` restrict, ``c`` cascade, ``n`` set null, ``d`` set default (pg_constraint)."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A relation that stores rows: the table itself, or one partition."""

    oid: int
    sql: str
    kind: str
    filled: bool
    """Its file has a page: it holds, or held, rows."""

    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Store:
    """What can be written: a table (``kind`` r) with its indexes, or a sequence (S)."""

    kind: str
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, view or materialized view; ``kind`` is pg_class.relkind."""

    oid: int
    name: str
    """Qualified and unquoted."""

    sql: str
    """Qualified, quoted where needed."""

    kind: str
    columns: tuple[Column, ...]
    uniques: tuple[tuple[bool, tuple[int, ...]], ...]
    """Unique and exclusion indexes, the primary key first: whether it is that, and column numbers used."""

    references: tuple[ForeignKey, ...]
    referenced_by: tuple[ForeignKey, ...]
    leaves: tuple[Leaf, ...]
    partition_columns: frozenset[int]
    acts: bool
    """Has triggers or rules of the user's, which may do anything."""

    @property
    def leaf(self) -> Leaf:
        """Where the row to copy is looked for: the first place that has rows, else the first one."""
        own = Leaf(self.oid, self.sql, self.kind, False, ())
        return next((leaf for leaf in self.leaves if leaf.filled), self.leaves[0] if self.leaves else own)

    def column(self, number: int) -> Column:
        """A column by its number. Raises StopIteration for one that is not there."""
        return next(column for column in self.columns if column.number == number)


# The tables written down, with the partitioned tables above them and the tables below views; those joined to them by a
# foreign key; all views over any of these. Partitions are reached through their root.
_CLOSURE = b"""
WITH RECURSIVE written AS (
  SELECT CASE WHEN c.relkind IN ('i', 'I') THEN i.indrelid ELSE c.oid END AS oid
  FROM unnest($1::text[], $2::text[]) AS w(schema, name)
  JOIN pg_class c ON c.relname = w.name AND c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'i', 'I')
  JOIN pg_namespace n ON n.oid = c.relnamespace AND w.schema IN ('', n.nspname) AND n.nspname <> 'pg_toast'
  LEFT JOIN pg_index i ON i.indexrelid = c.oid
), reach(oid) AS (
  SELECT oid FROM written
  UNION
  SELECT x.oid FROM reach, LATERAL (
    SELECT inhparent FROM pg_inherits WHERE inhrelid = reach.oid
    UNION ALL
    SELECT h.inhrelid FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid AND NOT c.relispartition
    WHERE h.inhparent = reach.oid
    UNION ALL
    SELECT d.refobjid FROM pg_rewrite r
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
      AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> reach.oid AND d.refobjid >= 16384
    WHERE r.ev_class = reach.oid AND r.rulename = '_RETURN'
  ) AS x(oid)
), joined(oid) AS (
  SELECT oid FROM reach
  UNION
  SELECT x.oid FROM reach, LATERAL (
    SELECT confrelid FROM pg_constraint WHERE conrelid = reach.oid AND contype = 'f'
    UNION ALL
    SELECT conrelid FROM pg_constraint WHERE confrelid = reach.oid AND contype = 'f'
  ) AS y(oid), LATERAL (SELECT coalesce(pg_partition_root(y.oid), y.oid)) AS x(oid)
), seen(oid) AS (
  SELECT oid FROM joined
  UNION
  SELECT r.ev_class FROM seen
  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = seen.oid
    AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite r ON r.oid = d.objid AND r.rulename = '_RETURN'
)
SELECT c.oid::text FROM seen JOIN pg_class c USING (oid)
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' ORDER BY c.oid
"""

# Changes whenever a statement on the relation may take other locks: columns, indexes, constraints (they have triggers),
# rules, partitions, children, whether it holds rows. Functions are counted in: a trigger may call any of them.
_FINGERPRINTS = b"""
SELECT c.oid::text, concat_ws('/', f.version, c.xmin, c.relkind,
  CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) > 0 END,
  (SELECT string_agg(a.xmin::text, ' ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0),
  (SELECT string_agg(i.indexrelid || ':' || i.xmin, ' ' ORDER BY i.indexrelid) FROM pg_index i WHERE i.indrelid = c.oid),
  (SELECT string_agg(t.oid || ':' || t.xmin, ' ' ORDER BY t.oid) FROM pg_trigger t WHERE t.tgrelid = c.oid),
  (SELECT string_agg(r.oid || ':' || r.xmin, ' ' ORDER BY r.oid) FROM pg_rewrite r WHERE r.ev_class = c.oid),
  (SELECT string_agg(h.inhrelid || ':' || h.xmin, ' ' ORDER BY h.inhrelid) FROM pg_inherits h WHERE h.inhparent = c.oid))
FROM pg_class c,
  (SELECT count(*) || ':' || coalesce(max(xmin::text::bigint), 0) AS version FROM pg_proc WHERE oid >= 16384) f
WHERE c.oid = ANY ($1::oid[])
"""

# Keys that clone another one, for a partition, are left out where the one at the root is seen.
_DESCRIBE = b"""
SELECT json_build_array(c.oid::int8, n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname), c.relkind,
  (SELECT json_agg(json_build_array(a.attnum, a.attname, quote_ident(a.attname), coalesce(b.typname, t.typname),
            CASE WHEN b.oid IS NULL THEN a.atttypmod ELSE t.typtypmod END,
            a.attidentity, a.attgenerated <> '', a.attnotnull) ORDER BY a.attnum)
   FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  (SELECT json_agg(json_build_array(i.indisprimary, u.columns) ORDER BY i.indisprimary DESC, i.indexrelid)
   FROM pg_index i, LATERAL (
     SELECT array_agg(DISTINCT x.number) AS columns FROM (
       SELECT unnest(i.indkey::int2[])::int4 AS number
       UNION ALL
       SELECT d.refobjsubid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
         AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid) x
     WHERE x.number > 0) u
   WHERE i.indrelid = c.oid AND i.indislive AND (i.indisunique OR i.indisexclusion) AND u.columns IS NOT NULL),
  (SELECT json_agg(json_build_array(k.confrelid::int8, k.confrelid::regclass::text, o.relkind,
            (SELECT coalesce(array_agg(indexrelid::int8), '{}') FROM pg_index WHERE indrelid = o.oid AND indislive),
            k.conkey, (SELECT json_agg(quote_ident(a.attname) ORDER BY x.place)
                       FROM unnest(k.confkey) WITH ORDINALITY AS x(number, place)
                       JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = x.number),
            k.confdeltype, k.confupdtype) ORDER BY k.oid)
   FROM pg_constraint k JOIN pg_class o ON o.oid = k.confrelid LEFT JOIN pg_constraint up ON up.oid = k.conparentid
   WHERE k.contype = 'f' AND k.conrelid = c.oid AND up.conrelid IS DISTINCT FROM c.oid),
  (SELECT json_agg(json_build_array(k.conrelid::int8, k.conrelid::regclass::text, o.relkind,
            (SELECT coalesce(array_agg(indexrelid::int8), '{}') FROM pg_index WHERE indrelid = o.oid AND indislive),
            k.confkey, (SELECT json_agg(quote_ident(a.attname) ORDER BY x.place)
                        FROM unnest(k.conkey) WITH ORDINALITY AS x(number, place)
                        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.number),
            k.confdeltype, k.confupdtype) ORDER BY k.oid)
   FROM pg_constraint k JOIN pg_class o ON o.oid = k.conrelid LEFT JOIN pg_constraint up ON up.oid = k.conparentid
   WHERE k.contype = 'f' AND k.confrelid = c.oid AND up.confrelid IS DISTINCT FROM c.oid),
  (SELECT json_agg(json_build_array(l.oid::int8, l.oid::regclass::text, l.relkind,
            CASE WHEN l.relkind IN ('r', 'm') THEN pg_relation_size(l.oid) > 0 ELSE false END,
            (SELECT coalesce(array_agg(indexrelid::int8), '{}') FROM pg_index WHERE indrelid = l.oid AND indislive))
            ORDER BY l.oid)
   FROM pg_class l WHERE l.oid = c.oid AND c.relkind <> 'p'
     OR c.relkind = 'p' AND l.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)),
  (SELECT array_agg(x) FROM pg_partitioned_table p, unnest(p.partattrs::int2[]) x WHERE p.partrelid = c.oid),
  EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
    OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'))::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[]) ORDER BY c.oid
"""


def related(connection: psycopg.Connection[Any], names: Collection[str]) -> list[int]:
    """OIDs of the tables that ``names`` (as written in SQL) may mean, and of all that are joined to them."""
    wanted = sorted({spelled for name in names for spelled in _spellings(name)})
    schemas, relations = [schema for schema, _ in wanted], [relation for _, relation in wanted]
    rows = connection.execute(_positional(_CLOSURE), (schemas, relations)).fetchall()
    return [int(oid) for (oid,) in rows]


def fingerprints(connection: psycopg.Connection[Any], oids: Collection[int]) -> dict[int, str]:
    """What must not change for a recorded lock footprint to hold, by relation."""
    rows = connection.execute(_positional(_FINGERPRINTS), (sorted(oids),)).fetchall()
    return {int(oid): text for oid, text in rows}


def describe(connection: psycopg.Connection[Any], oids: Collection[int]) -> list[Table]:
    """The tables of these OIDs; those that are gone are left out."""
    with connection.transaction():
        # Names as other sessions would have to write them.
        connection.execute(b"SET LOCAL search_path = pg_catalog")
        rows = connection.execute(_positional(_DESCRIBE), (sorted(oids),)).fetchall()
    return [_table(json.loads(text)) for (text,) in rows]


def _positional(sql: bytes) -> bytes:
    return sql.replace(b"%", b"%%").replace(b"$1", b"%s").replace(b"$2", b"%s")


def _spellings(name: str) -> set[tuple[str, str]]:
    """Schema (empty: any) and name as the catalog may have them: unquoted names are folded to lower case."""
    found = parts(name)[-2:]
    if not found:
        return set()
    schema, relation = found if len(found) == 2 else ("", found[0])
    return {(schema, relation), (schema.lower(), relation.lower())}


def _table(row: list[Any]) -> Table:
    oid, name, sql, kind, columns, uniques, references, referenced_by, leaves, partition_columns, acts = row
    return Table(
        oid=oid,
        name=name,
        sql=sql,
        kind=kind,
        columns=tuple(Column(*column) for column in columns or ()),
        uniques=tuple((primary, tuple(numbers)) for primary, numbers in uniques or ()),
        references=tuple(_key(key) for key in references or ()),
        referenced_by=tuple(_key(key) for key in referenced_by or ()),
        leaves=tuple(_leaf(leaf) for leaf in leaves or ()),
        partition_columns=frozenset(partition_columns or ()),
        acts=acts,
    )


def _leaf(row: list[Any]) -> Leaf:
    oid, sql, kind, filled, indexes = row
    return Leaf(oid, sql, kind, filled, tuple(indexes))


def _key(row: list[Any]) -> ForeignKey:
    other, sql, kind, indexes, own, theirs, on_delete, on_update = row
    return ForeignKey(other, sql, kind, tuple(indexes), tuple(own), tuple(theirs), on_delete, on_update)


def stores_of(connection: psycopg.Connection[Any], oids: Collection[int]) -> dict[int, Store]:
    """Which of these relations are tables or sequences, and the indexes that a row written to them goes into."""
    rows = connection.execute(
        b"SELECT c.oid::int8, c.relkind::text, coalesce(array_agg(i.indexrelid::int8) FILTER (WHERE i.indislive), '{}')"
        b" FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid"
        b" WHERE c.oid = ANY (%s::oid[]) AND c.relkind IN ('r', 'S') GROUP BY 1, 2",
        (sorted(oids),),
    ).fetchall()
    return {oid: Store(kind, tuple(indexes)) for oid, kind, indexes in rows}
