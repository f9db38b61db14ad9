"""Where statements start and end, and what no server could be sent."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.discovery.sql.lexer import lex

WHOLE = {
    "nested comment": "SELECT 1 /* a /* ; */ b; */ + 2",
    "tagged dollar quote": "DO $body$ BEGIN PERFORM $$;$$; END $body$",
    "unicode dollar tag": "SELECT $größe$ ; $größe$",
    "dollar inside identifier": "SELECT a$b$ FROM t AS a$b$",
    "escape string": r"SELECT E'\';' , E'a''b\\'",
    "escape string, upper and lower": r"SELECT e'\'' || E';'",
    "backslash in a plain string": r"SELECT 'c:\'",
    "continued escape string": "SELECT E'a'\n 'b\\';c'",
    "continued over a comment": "SELECT E'a' -- note\n  '\\';'",
    "continued empty": "SELECT E'a'\n'' , ';'",
    "bit and hex strings": "SELECT b'1', X';', n';'",
    "unicode string": "SELECT U&'d\\0061t;' UESCAPE '!'",
    "unicode identifier": 'SELECT U&"d;" FROM t',
    "doubled quotes": "SELECT 'it''s;', \"a;\"\"b\"",
    "operators with question mark": "SELECT a ? 'x', a ?| b, a @? '$.x'",
    "operator before a comment": "SELECT 1 +-- ;\n 2",
    "operator before a block comment": "SELECT 1 */* ; */ 2",
    "parameters": "PREPARE p AS SELECT $1,$2,$1+$2",
    "begin atomic": "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
    "begin atomic, label end": "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS end; SELECT 2; END",
    "rule with a list": "CREATE RULE r AS ON INSERT TO t DO (INSERT INTO a VALUES (1); DELETE FROM b)",
    "colons": "SELECT x::int, a[1:2], f(p := ';')",
    "numbers": "SELECT 1e5, .5, 1., 0x1F, 1_000",
}


@pytest.mark.parametrize("name", WHOLE)
def test_semicolons_inside_do_not_end_the_statement(name: str) -> None:
    text = f"  SELECT 0;\n{WHOLE[name]} ; SELECT 9"
    lexed = lex(text)
    assert [text[s.start : s.end] for s in lexed.statements] == ["SELECT 0", WHOLE[name], "SELECT 9"]
    assert lexed.diagnostics == ()


def test_offsets_count_characters_not_bytes() -> None:
    text = "SELECT 'é€😀'; SELECT 2"
    second = lex(text).statements[1]
    assert (second.start, text[second.start :]) == (14, "SELECT 2")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_newline_ends_a_line_comment(newline: str) -> None:
    assert len(lex(f"SELECT 1 -- ;{newline}; SELECT 2").statements) == 2


def test_empty_statements_are_none() -> None:
    assert lex("").statements == ()
    assert len(lex(";; SELECT 1;;").statements) == 1


def test_comments_are_reported_only_where_they_are_comments() -> None:
    text = "-- a\nSELECT '-- b', $$ -- c $$ /* d -- e */; -- f"
    assert [text[c.start : c.end] for c in lex(text).comments] == ["-- a", "/* d -- e */", "-- f"]


BROKEN = {
    "quote": ("SELECT 1; SELECT 'abc; -- d", 17, "'"),
    "name": ('SELECT "abc', 7, '"'),
    "escape": ("SELECT E'abc\\", 7, "E'"),
    "continued": ("SELECT E'a'\n'b", 7, "E'"),
    "dollar-quote": ("DO $x$ BEGIN; $$", 3, "$x$"),
    "comment": ("SELECT 1; /* a /* b */", 10, "/*"),
    "parenthesis": ("CREATE TABLE t (a int; SELECT 1;", 15, "("),
    "atomic": ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;", 0, "CREATE"),
    "meta-command": ("SELECT 1;\n\\echo 'it is\nSELECT 2;", 10, "\\echo 'it is"),
    "copy-data": ("COPY t (a) FROM stdin;\n1\n\\.\nSELECT 1;", 0, "COPY … FROM STDIN"),
    "bom": ("\ufeffSELECT 1", 0, "\ufeff"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_one_diagnostic_at_the_place_where_it_starts(kind: str) -> None:
    text, offset, shown = BROKEN[kind]
    [diagnostic] = lex(text).diagnostics
    expected = {"name": "quote", "escape": "quote", "continued": "quote"}.get(kind, kind)
    assert (diagnostic.kind, diagnostic.offset, diagnostic.text) == (expected, offset, shown)


def test_what_follows_copy_data_is_split_again() -> None:
    text = "COPY t FROM stdin;\nit's; broken\n\\.\nSELECT 1; SELECT 2;"
    assert [text[s.start : s.end] for s in lex(text).statements][1:] == ["SELECT 1", "SELECT 2"]


def test_copy_from_a_file_or_to_stdout_is_no_trouble() -> None:
    assert lex("COPY t FROM '/tmp/x'; COPY t TO STDOUT; COPY (SELECT 1) TO STDOUT;").diagnostics == ()


def test_unterminated_quote_hides_the_parenthesis_it_swallowed() -> None:
    assert [d.kind for d in lex("CREATE TABLE t (a text DEFAULT 'x);").diagnostics] == ["quote"]
