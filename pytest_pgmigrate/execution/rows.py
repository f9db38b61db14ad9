"""What lane B knows of a table at one moment: columns, key, files. The rows themselves stay on the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.states.digests import quote
from pytest_pgmigrate.execution.states.settings import PINNED

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

# Beside what changes how a value reads: room to join tables in memory, and no time limit of the database for us.
_SETTINGS = {**PINNED, "statement_timeout": "0", "work_mem": "64MB", "jit": "off"}
PIN = "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _SETTINGS.items())
"""Sets them until the transaction ends."""

# Tables a person would name: a partition's rows are read through its root, whose files are those of its partitions.
# Texts of reg* and aclitem name objects of the catalog, which any DDL may change.
_TABLES = r"""
SELECT c.oid::int8, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind = 'r', a.columns, k.names,
       CASE WHEN c.relkind = 'r' THEN ARRAY[c.relfilenode::int8, coalesce(t.relfilenode, 0)::int8] ELSE p.files END,
       CASE WHEN c.relkind = 'r' THEN c.relpersistence = 'p' ELSE p.logged END,
       CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_relation_size(c.oid) ELSE p.size END::int8
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid
  CROSS JOIN LATERAL (
      SELECT array_agg(ARRAY[a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid::text,
                 (y.oid < 16384 AND y.typname !~ '^_?(reg|aclitem)' AND y.typtype <> 'c')::text,
                 concat_ws(' ', a.attnum, a.atttypid, a.atttypmod, a.atthasmissing, a.attmissingval, a.attgenerated)]
                 ORDER BY a.attnum) AS columns
        FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
       WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) a
  LEFT JOIN LATERAL (
      SELECT array_agg(x.attname::text ORDER BY x.attname) AS names
        FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute x
          ON x.attrelid = c.oid AND x.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
       WHERE i.indrelid = c.oid AND i.indisprimary) k ON true
  LEFT JOIN LATERAL (
      SELECT array_agg(f.file ORDER BY l.oid, f.file) AS files, bool_and(l.relpersistence = 'p') AS logged,
             sum(pg_catalog.pg_relation_size(l.oid)) AS size
        FROM pg_catalog.pg_partition_tree(c.oid) q JOIN pg_catalog.pg_class l ON l.oid = q.relid
        LEFT JOIN pg_catalog.pg_class o ON o.oid = l.reltoastrelid
       CROSS JOIN LATERAL (VALUES (l.relfilenode::int8), (coalesce(o.relfilenode, 0)::int8)) f (file)
       WHERE c.relkind = 'p') p ON true
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND a.columns IS NOT NULL
   AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname <> ALL (%s)
   AND n.nspname !~ '^pg_'
"""

# bool, bytea, int8, int2, int4, text, oid, date, varchar, uuid: equal values read alike, and the other way round.
_EXACT = frozenset(("16", "17", "20", "21", "23", "25", "26", "1043", "1082", "2950"))
_TEXTS = frozenset(("25", "1043"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``type`` as SQL says it; ``exact``, values can be compared as they are; ``plain``, they can be kept so."""

    name: str
    type: str
    exact: bool
    plain: bool
    collated: bool
    vector: str
    """What decides, beside the stored rows, how its values read."""

    def value(self, alias: str) -> str:
        """The value in SQL, fit to be compared: as it is where that is exact, else as text."""
        return self.text(alias) if not self.exact or self.collated else f"{alias}.{quote(self.name)}"

    def text(self, alias: str) -> str:
        """The value as text. The "C" collation: others may call different texts equal."""
        return f'{alias}.{quote(self.name)}::text COLLATE pg_catalog."C"'

    def kept(self, alias: str) -> str:
        """The value as a copy holds it, which must depend on no type or collation that a migration may drop."""
        return self.text(alias) if self.collated or not self.plain else f"{alias}.{quote(self.name)}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table at one moment. ``key``: the columns of its primary key by name; ``size``: bytes of its rows on disk."""

    oid: int
    name: str
    ordinary: bool
    """Not partitioned."""

    columns: Mapping[str, Column]
    key: tuple[str, ...]
    files: tuple[int, ...]
    """relfilenodes: its own and that of its TOAST, or those of its partitions."""

    watched: bool
    """What is not in its files or its columns' vectors changes none of its rows, and WAL names every write."""

    size: int

    @property
    def source(self) -> str:
        """The table in FROM; rows of tables that inherit from it are theirs."""
        return f"ONLY {self.name}" if self.ordinary else self.name

    def same_key(self, other: Table) -> bool:
        """Whether both have the same primary key, by the names of its columns."""
        return bool(self.key) and self.key == other.key


@contextmanager
def pinned(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """A transaction in which values read the same whatever the settings of database and role."""
    with connection.transaction():
        connection.execute(PIN.encode())
        yield


def read_tables(connection: psycopg.Connection[Any], exclude_schemas: tuple[str, ...]) -> dict[str, Table]:
    """All tables, by name as written in SQL."""
    with pinned(connection):
        rows = connection.execute(_TABLES, (list(exclude_schemas),)).fetchall()
    return {row[1]: _table(*row) for row in rows}


def _table(
    oid: int,
    name: str,
    ordinary: bool,
    columns: list[list[str]],
    key: list[str] | None,
    files: list[int] | None,
    logged: bool | None,
    size: int | None,
) -> Table:
    made = {
        column: Column(column, type_, number in _EXACT, plain == "true", number in _TEXTS, vector)
        for column, type_, number, plain, vector in columns
    }
    # A virtual generated column ends its vector with "v": its text comes from an expression, not from the file.
    watched = bool(logged) and all(c.plain and not c.vector.endswith(" v") for c in made.values())
    return Table(oid, name, ordinary, made, tuple(key or ()), tuple(files or ()), watched, size or 0)
