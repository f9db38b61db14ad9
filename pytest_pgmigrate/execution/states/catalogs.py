"""Which rows of which system catalogs describe an object, and to which unit of the snapshot each of them belongs.

A unit is ``(kind, oid)``: the columns of a table, its constraints, one function … (``relations.py``, ``parts.py``,
``routines.py``), or a group of small catalogs that is always read whole (``groups.py``). Catalogs and their columns:
https://www.postgresql.org/docs/current/catalogs.html
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

Unit = tuple[str, int]
Reference = tuple[int, int]
"""``(classid, objid)`` as in pg_depend."""

PG_CLASS, PG_TYPE, PG_PROC, PG_CONSTRAINT, PG_REWRITE = 1259, 1247, 1255, 2606, 2618
PG_POLICY, PG_INDEX, PG_DESCRIPTION = 3256, 2610, 2609

FIRST_USER_OID = 16384
"""FirstNormalObjectId: what initdb makes has a smaller one."""

EVERYTHING: Unit = ("everything", 0)
"""Stands for a change that cannot be followed object by object."""

BUILTIN: Unit = ("group builtin", 0)

RELATION_PARTS = ("column", "constraint", "index", "trigger", "rule", "policy", "statistics")
"""Unit kinds that belong to a relation, apart from the relation itself."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A catalog whose rows are followed by their physical place.

    ``unit`` is an SQL expression giving ``kind/oid``; ``own`` the row's own OID, by which pg_depend and
    pg_description name it; ``key`` the column that tells user objects from built-in ones. ``shown`` digests what is shown
    of the row, where it is often written anew with other things changed: without blanks, empty where every version counts.
    """

    name: str
    unit: str
    own: str = "0"
    key: str = "c.oid"
    where: str = "true"
    shown: str = "''"


_CLASS_UNIT = """case
    when c.oid < 16384 then 'group builtin/0'
    when c.relkind in ('i', 'I') then
        'index/' || coalesce((select i.indrelid from pg_index i where i.indexrelid = c.oid), 0)
    when c.relkind = 'S' then 'sequence/' || c.oid
    when c.relkind = 't' then
        case when c.relname ~ '^pg_toast_[0-9]+$' then 'relation/' || substr(c.relname, 10) else 'everything/0' end
    else 'relation/' || c.oid end"""

# Whatever happens to a table counts and flags something in its row: columns, indexes, CHECKs, triggers.
_CLASS_SHOWN = """md5(row(c.relname, c.relnamespace, c.reltype, c.reloftype, c.relowner, c.relam, c.relfilenode, c.reltablespace,
    c.reltoastrelid, c.relpersistence, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relispopulated, c.relreplident,
    c.relispartition, c.relacl, c.reloptions, c.relpartbound)::text)"""

MIRRORED: tuple[Mirrored, ...] = (
    Mirrored("pg_class", _CLASS_UNIT, "c.oid", shown=_CLASS_SHOWN),
    Mirrored(
        "pg_attribute",
        "case when c.attrelid < 16384 then 'group builtin/0' else 'column/' || c.attrelid end",
        key="c.attrelid",
        where="c.attnum > 0",
    ),
    Mirrored("pg_attrdef", "'column/' || c.adrelid", "c.oid"),
    Mirrored(
        "pg_constraint",
        "case when c.conrelid <> 0 then 'constraint/' || c.conrelid else 'type/' || c.contypid end",
        "c.oid",
    ),
    Mirrored("pg_index", "'index/' || c.indrelid", key="c.indexrelid"),
    Mirrored(
        "pg_trigger",
        "case when c.tgisinternal then 'constraint/' else 'trigger/' end || c.tgrelid",
        "c.oid",
        where="not (c.tgisinternal and c.tgenabled = 'O')",
    ),
    Mirrored(
        "pg_rewrite",
        "case when c.rulename = '_RETURN' then 'relation/' else 'rule/' end || c.ev_class",
        "c.oid",
    ),
    Mirrored("pg_policy", "'policy/' || c.polrelid", "c.oid"),
    Mirrored("pg_statistic_ext", "'statistics/' || c.stxrelid", "c.oid"),
    Mirrored("pg_inherits", "'relation/' || c.inhrelid", key="c.inhrelid"),
    Mirrored("pg_partitioned_table", "'relation/' || c.partrelid", key="c.partrelid"),
    Mirrored("pg_foreign_table", "'relation/' || c.ftrelid", key="c.ftrelid"),
    Mirrored("pg_sequence", "'sequence/' || c.seqrelid", key="c.seqrelid"),
    Mirrored("pg_proc", "case when c.oid < 16384 then 'group builtin/0' else 'function/' || c.oid end", "c.oid"),
    Mirrored("pg_aggregate", "'function/' || c.aggfnoid::oid", key="c.aggfnoid::oid"),
    Mirrored(
        "pg_type",
        """case when c.oid < 16384 then 'group builtin/0' when c.typtype = 'c' then 'relation/' || c.typrelid
        else 'type/' || c.oid end""",
        "c.oid",
        # Array types (array_out is OID 751) follow their element type.
        where="c.typoutput <> 751",
    ),
    Mirrored("pg_enum", "'type/' || c.enumtypid", "c.oid"),
    Mirrored("pg_range", "'type/' || c.rngtypid", key="c.rngtypid"),
    Mirrored(
        "pg_description",
        "case when c.classoid = 1259 and c.objsubid <> 0 then 'column/' else 'of ' || c.classoid || '/' end || c.objoid",
        # The schema public has a comment from initdb on, and an OID of initdb's.
        key="(case when c.classoid = 2615 then 16384 else c.objoid end)",
    ),
    Mirrored(
        # Who belongs to an extension, and which column owns a sequence; other edges say nothing of their own.
        "pg_depend",
        """case when c.deptype = 'e' then 'everything/0' when c.deptype = 'x' then 'group extension/0'
        else 'of 1259/' || c.objid end""",
        key="c.objid",
        where="""(c.deptype in ('e', 'x') or c.deptype in ('a', 'i') and c.classid = 1259 and c.refclassid = 1259
        and c.refobjsubid > 0)""",
    ),
)


@lru_cache(maxsize=4096)
def unit_of(text: str) -> Unit:
    """``column/16400`` as a unit; a description's ``of 1255/16400`` keeps its class in the kind."""
    kind, _, oid = text.rpartition("/")
    return kind, int(oid)
