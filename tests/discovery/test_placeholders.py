"""Template placeholders are told from SQL that only looks like them."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.discovery.sql.lexer import lex
from pytest_pgmigrate.discovery.sql.placeholders import find_placeholders

PLACEHOLDERS = {
    "go": ('CREATE TABLE {{ index .Options "Namespace" }}.t (a int)', '{{ index .Options "Namespace" }}'),
    "jinja block": ("{% if x %} SELECT 1", "{% if x %}"),
    "dollar braces": ("CREATE TABLE ${SCHEMA}.t (a int)", "${SCHEMA}"),
    "dollar braces in a quoted name": ('CREATE TABLE "${schema}"."t" (a int)', "${schema}"),
    "dollar percent": ("SELECT * FROM $%schema%$.t", "$%schema%$"),
    "erb": ("CREATE TABLE <%= table %> (a int)", "<%= table %>"),
    "psql literal": ("SELECT * FROM t WHERE a = :'name'", ":'name'"),
    "psql identifier": ('SELECT * FROM :"table"', ':"table"'),
    "psql literal behind a cast": ("SELECT a::text, :'name'", ":'name'"),
}


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_found_where_it_starts(name: str) -> None:
    text, shown = PLACEHOLDERS[name]
    [found] = find_placeholders(text, lex(text))
    assert (found.text, found.offset) == (shown, text.index(shown))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '{{ x }}', '${HOME}', '<%= a %>', $$ {{ x }} ${y} $$, E'${z}'",
        "-- {{ x }} ${y}\nSELECT 1 /* <%= a %> */",
        "SELECT a::text, '1'::int, ('x'::text), x::\"char\"",
        "SELECT a[1:2], a[lo:hi], a[1:\"hi\"], a[:'2']",
        "SELECT j -> 'a' ->> 'b', j #>> '{a,b}', j @> '{\"a\": 1}', j ? 'x'",
        "SELECT a <% b AND b %> c, a <<% b, b %>> c, 5 % 2",
        "SELECT JSON_OBJECT('a':'b', k : 'v'), JSON_OBJECT('a':JSON_OBJECT(k:'v')), JSON_OBJECTAGG(k:'v')",
        "SELECT f(a := 'x', b => 'y')",
        "DO $x$ BEGIN a:='b'; END $x$",
    ],
)
def test_plain_sql_holds_none(text: str) -> None:
    assert find_placeholders(text, lex(text)) == ()
