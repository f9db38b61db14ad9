"""Changes of rows that are hard to see, each with the way back: types whose values are equal and yet not the same."""

from __future__ import annotations

from typing import NamedTuple

SCHEMA = """
create extension if not exists citext;
create extension if not exists hstore;
create type data_mood as enum ('sad', 'ok');
create type data_pair as (x int, y int);
create type data_span as range (subtype = int4);
create domain data_amount as numeric;
create collation data_ci (provider = libc, locale = 'C');
create table facts (id int primary key, num numeric, amount data_amount, real4 real, real8 double precision, ci citext,
    fixed char(5), varying varchar(20), txt text collate data_ci, span interval, doc jsonb, raw json, ints int[],
    grid int[], pair data_pair, pairs data_pair[], bin bytea, bits bit(4), vbits varbit, cash money, words tsvector,
    search tsquery, spot point, line lseg, boxed box, ring path, shape polygon, round circle, addr inet, net cidr,
    mac macaddr, key uuid, day date, at timestamptz, local timestamp, clock time, zoned timetz, mood data_mood,
    range int4range, multi int4multirange, own data_span, store hstore, flag boolean, reg regclass, lsn pg_lsn,
    big bigint, small smallint);
insert into facts select i, 1.0, 1.0, 0, 0, 'abc', 'a', 'a', 'a', '1 mon', '{"a": 1.0}', '{"a":1}', '{1,2}',
    '{{1,2},{3,4}}', null, array[(1,null)::data_pair], '\\x00', '0101', '01', 1, 'a:1', 'a & b', '(0,0)', '((0,0),(1,1))',
    '((1,1),(0,0))', '((0,0),(1,1))', '((0,0),(1,1),(1,0))', '<(0,0),1>', '10.0.0.1', '10.0.0.0/8', '08:00:2b:01:02:03',
    '00000000-0000-0000-0000-000000000000', '2020-01-01', '2020-01-01', '2020-01-01', '00:00', '12:00+00', 'ok', '[1,5)',
    '{[1,5)}', '[1,5)', 'a=>1', true, 'facts'::regclass, '0/1', 1, 1 from generate_series(1, 30) i;
create table bag (a text, b int);
insert into bag values ('x', 1), ('x', 1), ('y', 2), (null, null), ('', null);
create table couples (a int, b text, v text, primary key (a, b));
insert into couples values (1, 'b', 'p'), (2, 'a', 'q');
create table odd ("a %s b" int primary key, "Sel""ect" text, pgmigrate_key text);
insert into odd values (1, 'x', 'y'), (2, 'y', 'x');
create unlogged table scratch (id int primary key, v text);
insert into scratch values (1, 'a');
create table parts (id int, region text, v text, primary key (id, region)) partition by list (region);
create table parts_eu partition of parts for values in ('eu');
create table parts_us partition of parts for values in ('us');
insert into parts values (1, 'eu', 'a'), (2, 'us', 'b');
create table empty (id int primary key);
create table doubled (id int primary key, twice int generated always as (id * 2) stored);
insert into doubled values (1);
create materialized view seen as select count(*) as n from bag;
create sequence counter start 10;
select lo_from_bytea(4711, '\\x010203')
"""


class Mutation(NamedTuple):
    """What is done, how it is taken back, and what must be named: a table and its columns (none: rows came or went)."""

    do: str
    undo: str
    table: str
    columns: tuple[str, ...] = ()


def _value(column: str, new: str, old: str) -> Mutation:
    """Another value in one row of ``facts``."""
    there, back = (f"update facts set {column} = {value} where id = 7" for value in (new, old))
    return Mutation(there, back, "public.facts", (column,))


MUTATIONS: tuple[Mutation, ...] = (
    _value("num", "1.00", "1.0"),
    _value("num", "'NaN'", "1.0"),
    _value("num", "'Infinity'", "1.0"),
    _value("num", "null", "1.0"),
    _value("amount", "1.000", "1.0"),
    _value("real4", "'-0'", "0"),
    _value("real4", "'NaN'", "0"),
    _value("real4", "1e-45", "0"),
    _value("real8", "'-0'", "0"),
    _value("real8", "'-Infinity'", "0"),
    _value("real8", "5e-324", "0"),
    _value("ci", "'ABC'", "'abc'"),
    _value("fixed", "'b'", "'a'"),
    _value("varying", "'a '", "'a'"),
    _value("txt", "''", "'a'"),
    _value("txt", "null", "'a'"),
    _value("txt", "U&'a\\0301'", "'a'"),
    _value("span", "'30 days'", "'1 mon'"),
    _value("span", "'720 hours'", "'1 mon'"),
    _value("doc", """'{"a": 1.00}'""", """'{"a": 1.0}'"""),
    _value("doc", "'null'", """'{"a": 1.0}'"""),
    _value("raw", """'{"a": 1}'""", """'{"a":1}'"""),
    _value("ints", "'[0:1]={1,2}'", "'{1,2}'"),
    _value("ints", "'{1,NULL}'", "'{1,2}'"),
    _value("ints", "'{}'", "'{1,2}'"),
    _value("grid", "'{{1,2,3,4}}'", "'{{1,2},{3,4}}'"),
    _value("pair", "row(null, null)::data_pair", "null"),
    _value("pairs", "array[(null,1)::data_pair]", "array[(1,null)::data_pair]"),
    _value("bin", "'\\x'", "'\\x00'"),
    _value("bits", "'0100'", "'0101'"),
    _value("vbits", "'010'", "'01'"),
    _value("cash", "1.01::numeric::money", "1"),
    _value("words", "'a:1A'", "'a:1'"),
    _value("search", "'a <-> b'", "'a & b'"),
    _value("spot", "'(0,-0)'", "'(0,0)'"),
    _value("line", "'((1,1),(0,0))'", "'((0,0),(1,1))'"),
    _value("boxed", "'((2,1),(0,0))'", "'((1,1),(0,0))'"),
    _value("ring", "'[(0,0),(1,1)]'", "'((0,0),(1,1))'"),
    _value("shape", "'((1,1),(1,0),(0,0))'", "'((0,0),(1,1),(1,0))'"),
    _value("round", "'<(0,0),1.0000000000000002>'", "'<(0,0),1>'"),
    _value("addr", "'10.0.0.1/24'", "'10.0.0.1'"),
    _value("net", "'10.0.0.0/9'", "'10.0.0.0/8'"),
    _value("mac", "'08:00:2b:01:02:04'", "'08:00:2b:01:02:03'"),
    _value("key", "'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-000000000000'"),
    _value("day", "'infinity'", "'2020-01-01'"),
    _value("day", "'2020-01-01 BC'", "'2020-01-01'"),
    _value("at", "'2020-01-01 00:00:00.000001+00'", "'2020-01-01 00:00:00+00'"),
    _value("local", "'-infinity'", "'2020-01-01'"),
    _value("clock", "'24:00'", "'00:00'"),
    _value("zoned", "'13:00+01'", "'12:00+00'"),
    _value("mood", "'sad'", "'ok'"),
    _value("range", "'[1,5]'", "'[1,5)'"),
    _value("range", "'empty'", "'[1,5)'"),
    _value("multi", "'{[1,3),[4,5)}'", "'{[1,5)}'"),
    _value("own", "'[1,5]'", "'[1,5)'"),
    _value("store", "'a=>NULL'", "'a=>1'"),
    _value("flag", "false", "true"),
    _value("reg", "'bag'", "'facts'"),
    _value("lsn", "'1/0'", "'0/1'"),
    _value("big", "-9223372036854775808", "1"),
    _value("small", "-1", "1"),
    Mutation(
        "update facts x set real4 = y.real8 + 1, real8 = y.real4 + 1 from facts y where y.id = x.id and x.id = 3",
        "update facts set real4 = 0, real8 = 0 where id = 3",
        "public.facts",
        ("real4", "real8"),
    ),
    # Sums that are not seeded with the row's key miss a swap.
    Mutation(
        "update couples x set v = y.v from couples y where x.a <> y.a",
        "update couples x set v = y.v from couples y where x.a <> y.a",
        "public.couples",
        ("v",),
    ),
    Mutation(
        """update odd set "Sel""ect" = pgmigrate_key, pgmigrate_key = "Sel""ect" """,
        """update odd set "Sel""ect" = pgmigrate_key, pgmigrate_key = "Sel""ect" """,
        "public.odd",
        ('Sel"ect', "pgmigrate_key"),
    ),
    Mutation("update couples set b = 'c' where a = 1", "update couples set b = 'b' where a = 1", "public.couples"),
    # Parts of a key that trade places are another key.
    Mutation(
        "update couples set b = case b when 'a' then 'b' else 'a' end",
        "update couples set b = case b when 'a' then 'b' else 'a' end",
        "public.couples",
    ),
    # Exclusive-or misses what is there twice.
    Mutation("delete from bag where a = 'x'", "insert into bag values ('x', 1), ('x', 1)", "public.bag"),
    Mutation("insert into bag values ('y', 2), ('y', 2)", "delete from bag where a = 'y' and ctid > '(0,5)'", "public.bag"),
    Mutation(
        "update bag set a = '' where a is null",
        "update bag set a = null where ctid > '(0,5)' and a = ''",
        "public.bag", ("a",),
    ),
    Mutation("insert into empty values (1)", "delete from empty", "public.empty"),
    Mutation('delete from odd where "a %s b" = 1', "insert into odd values (1, 'x', 'y')", "public.odd"),
    Mutation("update scratch set v = 'b'", "update scratch set v = 'a'", "public.scratch", ("v",)),
    Mutation("update parts set v = 'c' where id = 1", "update parts set v = 'a' where id = 1", "public.parts_eu", ("v",)),
    Mutation(
        "update parts set region = 'us' where id = 1", "update parts set region = 'eu' where id = 1", "public.parts_us"
    ),
    Mutation("truncate couples", "insert into couples values (1, 'b', 'p'), (2, 'a', 'q')", "public.couples"),
    Mutation(
        "alter table couples drop column v, add column v text",
        "update couples set v = case a when 1 then 'p' else 'q' end",
        "public.couples",
        ("v",),
    ),
    Mutation(
        "alter table facts alter num type numeric(8, 3); alter table facts alter num type numeric",
        "update facts set num = 1.0",
        "public.facts",
        ("num",),
    ),
    Mutation(
        "alter type data_mood rename value 'ok' to 'fine'",
        "alter type data_mood rename value 'fine' to 'ok'",
        "public.facts",
        ("mood",),
    ),
    Mutation("refresh materialized view seen with no data", "refresh materialized view seen", "public.seen"),
    Mutation("select lo_put(4711, 1, '\\x00')", "select lo_put(4711, 1, '\\x02')", "pg_largeobject"),
    Mutation("select lo_unlink(4711)", "select lo_from_bytea(4711, '\\x010203')", "pg_largeobject"),
    Mutation("select setval('counter', 5)", "select setval('counter', 10, false)", "public.counter"),
    Mutation("select setval('counter', 10, true)", "select setval('counter', 10, false)", "public.counter"),
)  # fmt: skip

XML = (
    "alter table facts add column page xml",
    "update facts set page = '<a/>'",
    _value("page", "'<a></a>'", "'<a/>'"),
)
"""Where the server was built with XML."""
