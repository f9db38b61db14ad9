"""The statements that fetch the definition of units: relations, columns, constraints, indexes, triggers, …

Every statement takes the OIDs of the units to fetch and, written in, the excluded schemas. It returns per object: the
unit's OID, a signature (the names by which other definitions speak of it), PostgreSQL's word for its kind, its name, and
then columns whose aliases are the attributes that are compared. An alias with a leading underscore is for the reader
alone.
Attributes follow https://www.postgresql.org/docs/current/catalogs.html.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

HEADER = 4
"""Columns before the attributes: unit, signature, kind, name."""


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of unit; ``sql`` gives the statement for a server_version_num."""

    kind: str
    sql: Callable[[int], str]
    relation: bool = True
    """Whether the objects belong to the relation whose OID is the unit's."""


NOT_MEMBER = (
    """not exists (select from pg_depend e where e.classid = {catalog} and e.objid = {oid} and e.deptype = 'e')"""
)
"""Members of an extension are the extension's business."""

EXCLUDED = "$excluded"
"""Stands in the statements for an array of the excluded schemas."""

SCHEMA = "n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and n.nspname <> all ($excluded)"


def comment_of(catalog: int, oid: str) -> str:
    """The comment on an object. obj_description() does the same and, being an SQL function, takes ten times as long."""
    return (
        f"(select z.description from pg_description z where z.classoid = {catalog} and z.objoid = {oid}"
        " and z.objsubid = 0)"
    )


_RELATION = f"""
    select c.oid::int8, c.relkind::text || ' ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname),
        case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table'
            when 'c' then 'type' else 'table' end,
        quote_ident(n.nspname) || '.' || quote_ident(c.relname),
        c.relkind::text as _kind, c.relfilenode::int8 as _file, coalesce(t.relfilenode, 0)::int8 as _toast,
        c.reltype::int8 as _type, coalesce(y.typarray, 0)::int8 as _array, c.relname::text as _name,
        n.nspname::text as _schema, c.relpersistence = 'u' as _unlogged, c.relispopulated as _populated,
        pg_get_userbyid(c.relowner)::text as owner,
        case c.relpersistence when 'u' then 'unlogged' else 'permanent' end as persistence,
        (select a.amname::text from pg_am a where a.oid = c.relam) as access_method,
        (select s.spcname::text from pg_tablespace s where s.oid = c.reltablespace) as tablespace,
        c.relrowsecurity as row_security, c.relforcerowsecurity as force_row_security,
        case c.relreplident when 'd' then 'default' when 'n' then 'nothing' when 'f' then 'full' else 'index' end
            as replica_identity,
        c.relispopulated as populated,
        case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end as partition_key,
        case when c.relispartition then pg_get_expr(c.relpartbound, c.oid) end as partition_bound,
        (select array_agg(i.inhparent::regclass::text || case when i.inhdetachpending then ' (detach pending)' else '' end
            order by i.inhseqno) from pg_inherits i where i.inhrelid = c.oid) as parents,
        case when c.reloftype <> 0 then format_type(c.reloftype, null) end as of_type,
        case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end as definition,
        c.reloptions as options, t.reloptions as toast_options,
        case when c.relkind = 'c' then coalesce(y.typacl, acldefault('T', y.typowner))
            else coalesce(c.relacl, acldefault('r', c.relowner)) end::text[] as acl,
        case when c.relkind = 'c' then coalesce({comment_of(1259, "c.oid")}, {comment_of(1247, "y.oid")})
            else {comment_of(1259, "c.oid")} end as comment,
        case when c.relkind = 'f' then (select w.srvname::text from pg_foreign_table g
            join pg_foreign_server w on w.oid = g.ftserver where g.ftrelid = c.oid) end as server,
        case when c.relkind = 'f' then (select g.ftoptions from pg_foreign_table g where g.ftrelid = c.oid) end
            as server_options
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    left join pg_class t on t.oid = c.reltoastrelid
    left join pg_type y on y.oid = c.reltype
    where c.oid = any ($1::oid[]) and c.relkind in ('r', 'p', 'f', 'v', 'm', 'c') and {SCHEMA}
        and {NOT_MEMBER.format(catalog=1259, oid="c.oid")}
        and (c.relkind <> 'c' or {NOT_MEMBER.format(catalog=1247, oid="y.oid")})
"""

# A type is shown by its output only; the text of a reg* value is a name that any DDL may change.
_NAMES = """('regclass', 'regtype', 'regproc', 'regprocedure', 'regoper', 'regoperator', 'regconfig',
    'regdictionary', 'regrole', 'regnamespace', 'regcollation', 'aclitem')"""

_COLUMN = f"""
    select a.attrelid::int8, a.attnum || ':' || quote_ident(a.attname), 'column', quote_ident(a.attname),
        a.attname::text as _name,
        a.attnum::int4 as _number, (a.attgenerated = '' and a.attmissingval is null) as _plain,
        concat_ws(' ', a.atttypid, a.atttypmod, a.attgenerated, a.attmissingval::text,
            case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) end) as _vector,
        (case when y.typoutput = 751 then (select e.typname from pg_type e where e.oid = y.typelem) else y.typname end
            in {_NAMES}) as _named,
        null::int4 as position,
        format_type(a.atttypid, a.atttypmod) as type,
        a.attnotnull as not_null,
        case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end as "default",
        case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) end as generated,
        case a.attgenerated when 's' then 'stored' when 'v' then 'virtual' end as generated_kind,
        case a.attidentity when 'a' then 'always' when 'd' then 'by default' end as identity,
        case when a.attcollation <> y.typcollation then a.attcollation::regcollation::text end as collation,
        case when a.attstorage <> y.typstorage then a.attstorage::text end as storage,
        nullif(a.attcompression::text, '') as compression,
        case when a.attstattarget >= 0 then a.attstattarget end as statistics,
        a.attoptions as options, a.attfdwoptions as server_options,
        coalesce(a.attacl, '{{}}')::text[] as acl,
        (select z.description from pg_description z where z.objoid = a.attrelid and z.classoid = 1259
            and z.objsubid = a.attnum) as comment,
        a.attislocal as local, a.attinhcount::int4 as inherited
    from pg_attribute a
    join pg_type y on y.oid = a.atttypid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = any ($1::oid[]) and a.attnum > 0 and not a.attisdropped
    order by a.attrelid, a.attnum
"""

_CONSTRAINT = f"""
    select k.conrelid::int8, k.oid || ':' || k.conname, 'constraint', quote_ident(k.conname),
        k.contype::text as _type, k.conname::text as _name,
        case when k.contype = 'n' then (select a.attname::text from pg_attribute a
            where a.attrelid = k.conrelid and a.attnum = k.conkey[1]) end as _column,
        case when k.convalidated then pg_get_constraintdef(k.oid)
            else regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') end as definition,
        k.convalidated as validated,
        k.conislocal as local, k.coninhcount::int4 as inherited, k.conparentid <> 0 as partition,
        (select array_agg(distinct tgenabled::text) from pg_trigger g where g.tgrelid = k.conrelid
            and g.tgconstraint = k.oid and g.tgisinternal and g.tgenabled <> 'O') as triggers_not_enabled,
        {comment_of(2606, "k.oid")} as comment
    from pg_constraint k
    where k.conrelid = any ($1::oid[]) and k.contype <> 't'
"""


def _index(version: int) -> str:
    # refclassid is cast to keep it out of an index condition: the index on it finds all constraints there are.
    target = "a.attstattarget is not null" if version >= 170000 else "a.attstattarget >= 0"
    return f"""
    select i.indrelid::int8, ''::text, 'index', quote_ident(n.nspname) || '.' || quote_ident(c.relname),
        case when i.indisprimary then (select array_agg(a.attname::text order by k.number)
            from unnest(i.indkey::int2[]) with ordinality k(attnum, number)
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
            where k.number <= i.indnkeyatts) end as _key,
        pg_get_indexdef(i.indexrelid) as definition,
        i.indisvalid as valid, i.indisready as ready, i.indislive as live,
        i.indisclustered as clustered, i.indisreplident as replica_identity,
        (select s.spcname::text from pg_tablespace s where s.oid = c.reltablespace) as tablespace,
        (select quote_ident(k.conname) from pg_depend d join pg_constraint k on k.oid = d.refobjid
            where d.classid = 1259 and d.objid = c.oid and d.objsubid = 0 and d.refclassid::int8 = 2606
                and d.deptype = 'i') as "constraint",
        (select min(h.inhparent::regclass::text) from pg_inherits h where h.inhrelid = c.oid) as parent,
        (select array_agg(a.attnum || ':' || a.attstattarget order by a.attnum) from pg_attribute a
            where a.attrelid = c.oid and {target}) as statistics,
        {comment_of(1259, "c.oid")} as comment
    from pg_index i
    join pg_class c on c.oid = i.indexrelid
    join pg_namespace n on n.oid = c.relnamespace
    where i.indrelid = any ($1::oid[])
    """


_TRIGGER = f"""
    select g.tgrelid::int8, ''::text, 'trigger', quote_ident(g.tgname),
        pg_get_triggerdef(g.oid) as definition,
        case g.tgenabled when 'O' then 'origin' when 'D' then 'disabled' when 'R' then 'replica' else 'always' end
            as enabled,
        g.tgparentid <> 0 as partition, {comment_of(2620, "g.oid")} as comment
    from pg_trigger g
    where g.tgrelid = any ($1::oid[]) and not g.tgisinternal
"""
_RULE = f"""
    select r.ev_class::int8, ''::text, 'rule', quote_ident(r.rulename),
        pg_get_ruledef(r.oid) as definition,
        case r.ev_enabled when 'O' then 'origin' when 'D' then 'disabled' when 'R' then 'replica' else 'always' end
            as enabled,
        {comment_of(2618, "r.oid")} as comment
    from pg_rewrite r
    where r.ev_class = any ($1::oid[]) and r.rulename <> '_RETURN'
"""
_POLICY = f"""
    select p.polrelid::int8, ''::text, 'policy', quote_ident(p.polname),
        p.polcmd::text as command, p.polpermissive as permissive,
        array(select case r when 0 then 'public' else pg_get_userbyid(r)::text end from unnest(p.polroles) r order by 1)
            as roles,
        pg_get_expr(p.polqual, p.polrelid) as "using", pg_get_expr(p.polwithcheck, p.polrelid) as with_check,
        {comment_of(3256, "p.oid")} as comment
    from pg_policy p
    where p.polrelid = any ($1::oid[])
"""
_STATISTICS = f"""
    select s.stxrelid::int8, ''::text, 'statistics', quote_ident(n.nspname) || '.' || quote_ident(s.stxname),
        pg_get_statisticsobjdef(s.oid) as definition,
        case when s.stxstattarget >= 0 then s.stxstattarget end as statistics,
        pg_get_userbyid(s.stxowner)::text as owner, {comment_of(3381, "s.oid")} as comment
    from pg_statistic_ext s
    join pg_namespace n on n.oid = s.stxnamespace
    where s.stxrelid = any ($1::oid[])
"""
# The value comes with the definition where a function gives it (PostgreSQL 18), but for those that the role may not read.
_SEQUENCE = f"""
    select c.oid::int8, quote_ident(n.nspname) || '.' || quote_ident(c.relname), 'sequence',
        quote_ident(n.nspname) || '.' || quote_ident(c.relname),
        c.relname::text as _name, n.nspname::text as _schema, c.relfilenode::int8 as _file,
        c.relpersistence = 'u' as _unlogged, coalesce(o.refobjid, 0)::int8 as _owner, o.deptype::text as _ownership,
        $value,
        format_type(s.seqtypid, null) as type, s.seqstart as start, s.seqincrement as increment, s.seqmin as minimum,
        s.seqmax as maximum, s.seqcache as cache, s.seqcycle as cycle,
        pg_get_userbyid(c.relowner)::text as owner,
        case c.relpersistence when 'u' then 'unlogged' else 'permanent' end as persistence,
        coalesce(c.relacl, acldefault('s', c.relowner))::text[] as acl,
        o.refobjid::regclass::text || '.' || (select quote_ident(a.attname) from pg_attribute a
            where a.attrelid = o.refobjid and a.attnum = o.refobjsubid) as owned_by,
        {comment_of(1259, "c.oid")} as comment
    from pg_class c
    join pg_sequence s on s.seqrelid = c.oid
    join pg_namespace n on n.oid = c.relnamespace
    left join pg_depend o on o.classid = 1259 and o.objid = c.oid and o.objsubid = 0 and o.refclassid = 1259 and o.refobjsubid > 0
        and o.deptype in ('a', 'i') $data
    where c.oid = any ($1::oid[]) and {SCHEMA} and {NOT_MEMBER.format(catalog=1259, oid="c.oid")}
"""


def _sequence(version: int) -> str:
    if version >= 180000:
        value, data = (
            "d.last_value as _last, d.is_called as _called",
            "cross join lateral pg_get_sequence_data(c.oid) d",
        )
    else:
        value, data = "null::int8 as _last, null::bool as _called", ""
    return _SEQUENCE.replace("$value", value).replace("$data", data)


RELATION_PARTS_SQL: tuple[Part, ...] = (
    Part("relation", lambda _: _RELATION, relation=False),
    Part("column", lambda _: _COLUMN),
    Part("constraint", lambda _: _CONSTRAINT),
    Part("index", _index),
    Part("trigger", lambda _: _TRIGGER),
    Part("rule", lambda _: _RULE),
    Part("policy", lambda _: _POLICY),
    Part("statistics", lambda _: _STATISTICS),
    Part("sequence", _sequence, relation=False),
)
