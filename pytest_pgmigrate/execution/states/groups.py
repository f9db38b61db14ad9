"""Small catalogs that are read whole when one of their rows may have changed: schemas, extensions, operators, …

Every statement returns ``(kind, name, classid, oid, attributes as JSON)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_pgmigrate.execution.states.parts import SCHEMA


@dataclass(frozen=True, slots=True)
class Group:
    """``catalogs`` are the tables whose change makes the group read again."""

    name: str
    catalogs: tuple[str, ...]
    sql: Callable[[int], str]


def _object(
    kind: str, catalog: str, name: str, attributes: str, *, where: str = "true", schema: str = "", joins: str = ""
) -> str:
    """A statement for one catalog: user objects that belong to no extension."""
    namespace = f"join pg_namespace n on n.oid = c.{schema}" if schema else ""
    return f"""
    select '{kind}', {name}, '{catalog}'::regclass::oid::int8, c.oid::int8,
        {attributes} || jsonb_build_object('comment', obj_description(c.oid, '{catalog}'))
    from {catalog} c {namespace} {joins}
    where {where} and {SCHEMA if schema else "$excluded is not null"}
        and not exists (select from pg_depend e where e.classid = '{catalog}'::regclass and e.objid = c.oid
            and e.deptype = 'e')
    """


def _row(*without: str) -> str:
    """The whole row as JSON, so that columns of later versions are compared too; OIDs are replaced by names."""
    names = ",".join(("oid", *without))
    return f"(to_jsonb(c) - '{{{names}}}'::text[])"


_OWNER = "jsonb_build_object('owner', pg_get_userbyid(c.{0}))"
_USER = "c.oid >= 16384"
# Options may hold secrets: they are compared, not shown.
_OPTIONS = """(select jsonb_agg(case when o ~* '^[^=]*(password|secret|token|key)' then
    split_part(o, '=', 1) || '=md5:' || md5(o) else o end order by o) from unnest({0}) o)"""


def _collation(_: int) -> str:
    row = _row("collname", "collnamespace", "collowner", "collversion")
    return _object(
        "collation", "pg_collation", "c.oid::regcollation::text", f"{row} || {_OWNER.format('collowner')}",
        where=_USER, schema="collnamespace",
    )  # fmt: skip


def _schema(_: int) -> str:
    attributes = f"""{_OWNER.format("nspowner")} || jsonb_build_object(
        'acl', coalesce(c.nspacl, acldefault('n', c.nspowner))::text[])"""
    where = "c.nspname !~ '^pg_' and c.nspname <> 'information_schema' and c.nspname <> all ($excluded)"
    return _object("schema", "pg_namespace", "quote_ident(c.nspname)", attributes, where=where)


def _extension(_: int) -> str:
    attributes = """jsonb_build_object('version', c.extversion, 'schema', c.extnamespace::regnamespace::text,
        'owner', pg_get_userbyid(c.extowner))"""
    return f"""
    {_object("extension", "pg_extension", "quote_ident(c.extname)", attributes)}
    union all
    select 'dependency', (pg_identify_object(d.classid, d.objid, d.objsubid)).identity || ' on extension '
        || x.extname, 0, 0, '{{}}'
    from pg_depend d join pg_extension x on x.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass
    where d.deptype = 'x'
    """


def _operator(_: int) -> str:
    operator = _row("oprname", "oprnamespace", "oprowner", "oprleft", "oprright", "oprresult", "oprcom", "oprnegate")
    operator += """ || jsonb_build_object('owner', pg_get_userbyid(c.oprowner),
        'result', format_type(c.oprresult, null), 'commutator', c.oprcom::regoperator::text,
        'negator', c.oprnegate::regoperator::text)"""
    method = "join pg_am a on a.oid = c.{}"
    opclass = """jsonb_build_object('owner', pg_get_userbyid(c.opcowner), 'type', format_type(c.opcintype, null),
        'default', c.opcdefault, 'storage', format_type(nullif(c.opckeytype, 0), null), 'family',
        (select f.opfname from pg_opfamily f where f.oid = c.opcfamily))"""
    family = """jsonb_build_object('owner', pg_get_userbyid(c.opfowner),
        'operators', (select jsonb_agg(concat_ws(' ', o.amopopr::regoperator, o.amopstrategy, o.amoppurpose))
            from (select * from pg_amop o where o.amopfamily = c.oid order by amopstrategy, amopopr) o),
        'functions', (select jsonb_agg(concat_ws(' ', r.amprocnum, format_type(r.amproclefttype, null),
            format_type(r.amprocrighttype, null), r.amproc::regprocedure)) from (select * from
            pg_amproc r where r.amprocfamily = c.oid order by amprocnum, amproclefttype, amprocrighttype) r))"""
    name = "quote_ident(n.nspname) || '.' || quote_ident(c.{}) || ' using ' || a.amname"
    return " union all ".join(
        (
            _object(
                "operator", "pg_operator", "c.oid::regoperator::text", operator, where=_USER, schema="oprnamespace"
            ),
            _object(
                "operator class", "pg_opclass", name.format("opcname"), opclass,
                where=_USER, schema="opcnamespace", joins=method.format("opcmethod"),
            ),
            _object(
                "operator family", "pg_opfamily", name.format("opfname"), family,
                where=_USER, schema="opfnamespace", joins=method.format("opfmethod"),
            ),
        )
    )  # fmt: skip


def _cast(_: int) -> str:
    name = "format_type(c.castsource, null) || ' as ' || format_type(c.casttarget, null)"
    attributes = _row("castsource", "casttarget", "castfunc")
    attributes += " || jsonb_build_object('function', c.castfunc::regprocedure::text)"
    conversion = _row("conname", "connamespace", "conowner") + " || " + _OWNER.format("conowner")
    return " union all ".join(
        (
            _object("cast", "pg_cast", name, attributes, where=_USER),
            _object(
                "conversion", "pg_conversion", "quote_ident(n.nspname) || '.' || quote_ident(c.conname)", conversion,
                where=_USER, schema="connamespace",
            ),
        )
    )  # fmt: skip


def _language(_: int) -> str:
    language = _row("lanname", "lanowner", "lanacl", "lanplcallfoid", "laninline", "lanvalidator")
    language += """ || jsonb_build_object('owner', pg_get_userbyid(c.lanowner), 'acl',
        coalesce(c.lanacl, acldefault('l', c.lanowner))::text[], 'handlers',
        concat_ws(' ', c.lanplcallfoid::regproc, c.laninline::regproc, c.lanvalidator::regproc))"""
    transform = """jsonb_build_object('from', c.trffromsql::regprocedure::text, 'to', c.trftosql::regprocedure::text)"""
    name = (
        "format_type(c.trftype, null) || ' language ' || (select l.lanname from pg_language l where l.oid = c.trflang)"
    )
    method = _row("amname")
    return " union all ".join(
        (
            _object("language", "pg_language", "quote_ident(c.lanname)", language),
            _object("transform", "pg_transform", name, transform, where=_USER),
            _object("access method", "pg_am", "quote_ident(c.amname)", method, where=_USER),
        )
    )


def _text_search(_: int) -> str:
    name = "quote_ident(n.nspname) || '.' || quote_ident(c.{})"
    parser = _row("prsname", "prsnamespace")
    template = _row("tmplname", "tmplnamespace")
    dictionary = """jsonb_build_object('owner', pg_get_userbyid(c.dictowner), 'options', c.dictinitoption, 'template',
        (select t.tmplname from pg_ts_template t where t.oid = c.dicttemplate))"""
    config = """jsonb_build_object('owner', pg_get_userbyid(c.cfgowner), 'parser',
        (select p.prsname from pg_ts_parser p where p.oid = c.cfgparser), 'mappings',
        (select jsonb_agg(m.maptokentype || ' ' || m.mapseqno || ' ' || m.mapdict::regdictionary::text
            order by m.maptokentype, m.mapseqno) from pg_ts_config_map m where m.mapcfg = c.oid))"""
    kinds = (
        ("text search parser", "pg_ts_parser", "prsname", parser, "prsnamespace"),
        ("text search template", "pg_ts_template", "tmplname", template, "tmplnamespace"),
        ("text search dictionary", "pg_ts_dict", "dictname", dictionary, "dictnamespace"),
        ("text search configuration", "pg_ts_config", "cfgname", config, "cfgnamespace"),
    )
    return " union all ".join(
        _object(kind, catalog, name.format(column), attributes, where=_USER, schema=schema)
        for kind, catalog, column, attributes, schema in kinds
    )


def _event_trigger(_: int) -> str:
    attributes = _row("evtname", "evtowner", "evtfoid") + " || jsonb_build_object('owner', pg_get_userbyid(c.evtowner)"
    attributes += ", 'function', c.evtfoid::regprocedure::text)"
    return _object("event trigger", "pg_event_trigger", "quote_ident(c.evtname)", attributes)


def _publication(version: int) -> str:
    columns = rows = schemas = "null"
    if version >= 150000:
        columns = """(select ' (' || string_agg(quote_ident(a.attname), ', ' order by a.attnum) || ')'
            from pg_attribute a where a.attrelid = r.prrelid and a.attnum = any (r.prattrs))"""
        rows = "' where ' || pg_get_expr(r.prqual, r.prrelid)"
        schemas = """(select jsonb_agg(s.pnnspid::regnamespace::text order by s.pnnspid::regnamespace::text)
            from pg_publication_namespace s where s.pnpubid = c.oid)"""
    attributes = (
        _row("pubname", "pubowner")
        + f""" || jsonb_build_object('owner', pg_get_userbyid(c.pubowner),
        'tables', (select jsonb_agg(concat(r.prrelid::regclass::text, {columns}, {rows})
            order by r.prrelid::regclass::text) from pg_publication_rel r where r.prpubid = c.oid), 'schemas', {schemas})"""
    )
    return _object("publication", "pg_publication", "quote_ident(c.pubname)", attributes)


def _foreign(_: int) -> str:
    def acl(column: str, letter: str, owner: str) -> str:
        return f"'acl', coalesce(c.{column}, acldefault('{letter}', c.{owner}))::text[]"

    wrapper = f"""jsonb_build_object('owner', pg_get_userbyid(c.fdwowner), 'handler', c.fdwhandler::regproc::text,
        'validator', c.fdwvalidator::regproc::text, {acl("fdwacl", "F", "fdwowner")},
        'options', {_OPTIONS.format("c.fdwoptions")})"""
    server = f"""jsonb_build_object('owner', pg_get_userbyid(c.srvowner), 'type', c.srvtype, 'version', c.srvversion,
        'wrapper', (select w.fdwname from pg_foreign_data_wrapper w where w.oid = c.srvfdw),
        {acl("srvacl", "S", "srvowner")}, 'options', {_OPTIONS.format("c.srvoptions")})"""
    mapping = f"""
    select 'user mapping', m.usename || ' on ' || quote_ident(m.srvname), 'pg_user_mapping'::regclass::oid::int8,
        m.umid::int8, jsonb_build_object('options', {_OPTIONS.format("m.umoptions")})
    from pg_user_mappings m
    """
    return " union all ".join(
        (
            _object("foreign data wrapper", "pg_foreign_data_wrapper", "quote_ident(c.fdwname)", wrapper, where=_USER),
            _object("server", "pg_foreign_server", "quote_ident(c.srvname)", server, where=_USER),
            mapping,
        )
    )


def _default_acl(_: int) -> str:
    return """
    select 'default privileges', concat('for ', pg_get_userbyid(c.defaclrole), ' in ' ||
        nullif(c.defaclnamespace, 0)::regnamespace::text, ' on ', c.defaclobjtype), 826, c.oid::int8,
        jsonb_build_object('acl', c.defaclacl::text[])
    from pg_default_acl c
    """


def _database(_: int) -> str:
    return """
    select 'database', 'current database', 0, 0, jsonb_build_object('owner', pg_get_userbyid(c.datdba),
        'acl', coalesce(c.datacl, acldefault('d', c.datdba))::text[], 'connection_limit', c.datconnlimit,
        'comment', shobj_description(c.oid, 'pg_database'))
    from pg_database c where c.datname = current_database()
    union all
    select 'setting', split_part(o, '=', 1) || ' of the database' || coalesce(' for role '
        || pg_get_userbyid(nullif(s.setrole, 0)), ''), 0, 0, jsonb_build_object('value', substr(o, strpos(o, '=') + 1))
    from pg_db_role_setting s, unnest(s.setconfig) o
    where s.setdatabase = (select oid from pg_database where datname = current_database())
    """


def _subscription(_: int) -> str:
    return """
    select 'subscription', quote_ident(c.subname), 0, 0, jsonb_build_object('owner', pg_get_userbyid(c.subowner),
        'enabled', c.subenabled, 'slot', c.subslotname, 'publications', c.subpublications)
    from pg_subscription c where c.subdbid = (select oid from pg_database where datname = current_database())
    """


def _large_object(_: int) -> str:
    return """
    select 'large object', c.oid::text, 0, 0, jsonb_build_object('owner', pg_get_userbyid(c.lomowner),
        'acl', coalesce(c.lomacl, acldefault('L', c.lomowner))::text[],
        'comment', obj_description(c.oid, 'pg_largeobject'))
    from pg_largeobject_metadata c
    """


def _label(_: int) -> str:
    return """
    select 'security label', s.provider || ' on ' || (pg_identify_object(s.classoid, s.objoid, s.objsubid)).identity,
        0, 0, jsonb_build_object('label', s.label)
    from pg_seclabel s
    """


def _builtin(_: int) -> str:
    # Listed only while their privileges are not those of initdb (pg_init_privs), whatever happened in between.
    def privileges(kind: str, catalog: str, name: str, column: str, default: str, where: str, sub: str = "0") -> str:
        return f"""
        select '{kind}', {name}, 0, 0, jsonb_build_object('acl', coalesce(c.{column}, {default})::text[],
            '_initial', coalesce(i.initprivs, {default})::text[])
        from {catalog} c left join pg_init_privs i on i.objoid = {where.split(" ")[0]}
            and i.classoid = '{"pg_class" if sub != "0" else catalog}'::regclass and i.objsubid = {sub}
        where {where} and c.{column} is distinct from i.initprivs"""

    return " union all ".join(
        (
            privileges("function", "pg_proc", "c.oid::regprocedure::text", "proacl", "acldefault('f', c.proowner)",
                       "c.oid < 16384"),
            privileges("table", "pg_class", "c.oid::regclass::text", "relacl", "acldefault('r', c.relowner)",
                       "c.oid < 16384 and c.relnamespace = 11"),
            privileges("type", "pg_type", "format_type(c.oid, null)", "typacl", "acldefault('T', c.typowner)",
                       "c.oid < 16384"),
            privileges("column", "pg_attribute", "c.attrelid::regclass::text || '.' || quote_ident(c.attname)", "attacl",
                       "'{}'::aclitem[]", "c.attrelid < 16384", sub="c.attnum"),
        )
    )  # fmt: skip


GROUPS: tuple[Group, ...] = (
    Group("schema", ("pg_namespace",), _schema),
    Group("extension", ("pg_extension",), _extension),
    Group("collation", ("pg_collation",), _collation),
    Group("operator", ("pg_operator", "pg_opclass", "pg_opfamily", "pg_amop", "pg_amproc"), _operator),
    Group("cast", ("pg_cast", "pg_conversion"), _cast),
    Group("language", ("pg_language", "pg_transform", "pg_am"), _language),
    Group(
        "text search",
        ("pg_ts_config", "pg_ts_config_map", "pg_ts_dict", "pg_ts_parser", "pg_ts_template"),
        _text_search,
    ),
    Group("event trigger", ("pg_event_trigger",), _event_trigger),
    Group("publication", ("pg_publication", "pg_publication_rel", "pg_publication_namespace"), _publication),
    Group("foreign", ("pg_foreign_data_wrapper", "pg_foreign_server", "pg_user_mapping"), _foreign),
    Group("default privileges", ("pg_default_acl",), _default_acl),
    Group("database", ("pg_database", "pg_db_role_setting", "pg_shdescription"), _database),
    Group("subscription", ("pg_subscription",), _subscription),
    Group("large object", ("pg_largeobject_metadata", "pg_largeobject"), _large_object),
    Group("label", ("pg_seclabel",), _label),
    Group("builtin", ("pg_init_privs",), _builtin),
)
