"""The statements that fetch functions, procedures, aggregates, types and domains (form: see ``parts.py``)."""

from __future__ import annotations

from pytest_pgmigrate.execution.states.parts import NOT_MEMBER, SCHEMA, Part, comment_of

# pg_get_functiondef refuses aggregates; their definition is what CREATE AGGREGATE can set.
_FUNCTION = f"""
    select p.oid::int8, p.oid::regprocedure::text,
        case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
        p.oid::regprocedure::text,
        case when p.prokind <> 'a' then pg_get_functiondef(p.oid) else (
            select concat_ws(' | ', pg_get_function_arguments(p.oid), g.aggkind, g.aggnumdirectargs, g.aggtransfn::text,
                g.aggfinalfn::text, g.aggcombinefn::text, g.aggserialfn::text, g.aggdeserialfn::text,
                g.aggmtransfn::text, g.aggminvtransfn::text, g.aggmfinalfn::text, g.aggfinalextra, g.aggmfinalextra,
                g.aggfinalmodify, g.aggmfinalmodify, g.aggsortop::regoperator::text, format_type(g.aggtranstype, null),
                g.aggtransspace, format_type(g.aggmtranstype, null), g.aggmtransspace,
                'initial ' || coalesce(g.agginitval, 'NULL'), 'initial ' || coalesce(g.aggminitval, 'NULL'),
                p.proparallel)
            from pg_aggregate g where g.aggfnoid = p.oid) end as definition,
        pg_get_userbyid(p.proowner)::text as owner,
        coalesce(p.proacl, acldefault('f', p.proowner))::text[] as acl,
        {comment_of(1255, "p.oid")} as comment
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    where p.oid = any ($1::oid[]) and {SCHEMA} and {NOT_MEMBER.format(catalog=1255, oid="p.oid")}
"""

# Multirange types are made with their range type and named there.
_TYPE = f"""
    select y.oid::int8,
        concat_ws(' ', format_type(y.oid, null), (select string_agg(quote_literal(l.enumlabel), ',' order by l.enumsortorder)
            from pg_enum l where l.enumtypid = y.oid)),
        case y.typtype when 'd' then 'domain' else 'type' end,
        format_type(y.oid, null),
        y.typarray::int8 as _array,
        case y.typtype when 'e' then 'enum' when 'd' then 'domain' when 'r' then 'range' when 'p' then 'shell'
            else 'base' end as form,
        (select array_agg(l.enumlabel::text order by l.enumsortorder) from pg_enum l where l.enumtypid = y.oid) as labels,
        case when y.typtype = 'd' then format_type(y.typbasetype, y.typtypmod) end as base,
        y.typnotnull as not_null,
        case when y.typtype = 'd' then coalesce(pg_get_expr(y.typdefaultbin, 0), y.typdefault) else y.typdefault end
            as "default",
        case when y.typcollation <> 0 and y.typtype = 'd' then y.typcollation::regcollation::text end as collation,
        (select array_agg(concat_ws(' ', quote_ident(k.conname), pg_get_constraintdef(k.oid),
                'comment: ' || {comment_of(2606, "k.oid")}) order by k.conname)
            from pg_constraint k where k.contypid = y.oid and k.contype <> 'n') as constraints,
        (select concat_ws(' ', format_type(r.rngsubtype, null), r.rngcollation::regcollation::text, o.opcname,
                r.rngcanonical::text, r.rngsubdiff::text, format_type(r.rngmultitypid, null))
            from pg_range r join pg_opclass o on o.oid = r.rngsubopc where r.rngtypid = y.oid) as range,
        case when y.typtype = 'b' then concat_ws(' ', y.typlen, y.typbyval, y.typcategory, y.typispreferred, y.typdelim,
            y.typinput::text, y.typoutput::text, y.typreceive::text, y.typsend::text, y.typmodin::text,
            y.typmodout::text, y.typanalyze::text, y.typalign, y.typstorage, y.typsubscript::text) end as definition,
        pg_get_userbyid(y.typowner)::text as owner,
        coalesce(y.typacl, acldefault('T', y.typowner))::text[] as acl,
        {comment_of(1247, "y.oid")} as comment
    from pg_type y
    join pg_namespace n on n.oid = y.typnamespace
    where y.oid = any ($1::oid[]) and y.typtype in ('b', 'd', 'e', 'r', 'p') and y.typoutput <> 751
        and {SCHEMA} and {NOT_MEMBER.format(catalog=1247, oid="y.oid")}
"""

ROUTINE_PARTS_SQL: tuple[Part, ...] = (
    Part("function", lambda _: _FUNCTION, relation=False),
    Part("type", lambda _: _TYPE, relation=False),
)
