"""``-- pgmigrate: word[args] reason``."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.discovery.script import parse_script
from pytest_pgmigrate.model.migration import Script


def parse(text: str) -> Script:
    return parse_script(text, "f.sql", "/f.sql", "")


@pytest.mark.parametrize(
    ("comment", "word", "args", "reason"),
    [
        ("-- pgmigrate: ignore[PMG301] tiny table", "ignore", ("PMG301",), "tiny table"),
        ("--pgmigrate:ignore[PMG301,some-slug]why", "ignore", ("PMG301", "some-slug"), "why"),
        ("-- PGMIGRATE:  Ignore-File [ PMG4 , x-y ]  a [b] c ", "ignore-file", ("PMG4", "x-y"), "a [b] c"),
        ("-- pgmigrate: irreversible dropped for good", "irreversible", (), "dropped for good"),
        ("-- pgmigrate: irreversible[Users.Phone, orders] x", "irreversible", ("users.phone", "orders"), "x"),
        ('-- pgmigrate: irreversible["Users"."a,b", c] x', "irreversible", ("Users.a,b", "c"), "x"),
        ("-- pgmigrate: no-transaction concurrently", "no-transaction", (), "concurrently"),
        ("-- pgmigrate: contract release 3", "contract", (), "release 3"),
        ("-- pgmigrate: contract, needs=000012 release 3, or 4", "contract", ("000012",), "release 3, or 4"),
        ("-- pgmigrate: contract, needs=12, needs = 13 why", "contract", ("12", "13"), "why"),
        ("-- pgmigrate: contract needs=12 why", "contract", ("12",), "why"),
        ("-- pgmigrate: verify SELECT id FROM a[1]", "verify", (), "SELECT id FROM a[1]"),
    ],
)
def test_read(comment: str, word: str, args: tuple[str, ...], reason: str) -> None:
    script = parse(f"SELECT 0;\n  {comment}\nSELECT 1;")
    assert not script.defects
    [directive] = script.directives
    assert (directive.word, directive.args, directive.reason) == (word, args, reason)
    assert (directive.place.line, directive.place.column) == (2, 3)
    assert directive.statement == (1 if word == "ignore" else None)


@pytest.mark.parametrize(
    ("comment", "words"),
    [
        ("-- pgmigrate: ignore[PMG301]", "no reason"),
        ("-- pgmigrate: ignore[PMG301]   ", "no reason"),
        ("-- pgmigrate: ignore because", "names no codes"),
        ("-- pgmigrate: ignore[] because", "names no codes"),
        ("-- pgmigrate: ignore[ , ] because", "names no codes"),
        ("-- pgmigrate: ignore[PMG 301] because", "'PMG 301'"),
        ("-- pgmigrate: ignore[PMG301 because", "unclosed ["),
        ("-- pgmigrate: ignore-file because", "names no codes"),
        ("-- pgmigrate: irreversible[] because", "names no objects"),
        ("-- pgmigrate: contract[x] because", "takes no arguments"),
        ("-- pgmigrate: contract, needs=12", "no reason"),
        ("-- pgmigrate: contract, needs= ", "needs= without a version"),
        ("-- pgmigrate: contract, after=12 why", "nothing but needs="),
        ("-- pgmigrate: verify", "verify takes SQL"),
        ("-- pgmigrate: verify no row without name", "not 'no row without name'"),
        ("-- pgmigrate: ignroe[PMG301] because", "unknown directive 'ignroe'"),
        ("-- pgmigrate:", "without a word"),
        ("-- pgmigrate: [PMG301] because", "without a word"),
        ("-- pgmigrate ignore[PMG301] because", "needs a colon"),
        ("/* pgmigrate: ignore[PMG301] because */", "/* … */"),
    ],
)
def test_malformed_is_a_defect_with_place_and_fix(comment: str, words: str) -> None:
    script = parse(f"SELECT 0;\n {comment}\nSELECT 1;")
    [defect] = script.defects
    assert (defect.kind, defect.place.line, defect.place.column) == ("directive", 2, 2)
    assert words in defect.message
    assert defect.fix
    assert not script.directives
    assert script.sendable


def test_the_nearest_word_is_proposed() -> None:
    assert "did you mean ignore?" in parse("-- pgmigrate: ignroe[PMG301] x").defects[0].fix


def test_no_transaction_holds_without_a_reason() -> None:
    script = parse("-- pgmigrate: no-transaction\nVACUUM;")
    assert script.directive("no-transaction") is not None
    assert [d.kind for d in script.defects] == ["directive"]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '-- pgmigrate: ignore[X] y'",
        "DO $$ BEGIN\n-- pgmigrate: ignore[X] y\nEND $$",
        "-- pgmigrate is a nice tool\nSELECT 1",
        "-- see pgmigrate: ignore[X] y\nSELECT 1",
        "-- pgmigrated: x\nSELECT 1",
    ],
)
def test_other_text_is_none(text: str) -> None:
    script = parse(text)
    assert not script.directives
    assert not script.defects


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("@\nSELECT 0;\nSELECT 1;", 0),
        ("SELECT 0;\n@\n\n-- other\nSELECT 1;", 1),
        ("SELECT 0;\nSELECT\n@\n1;", 1),
        ("SELECT 0; @\nSELECT 1;", 0),
        ("SELECT 0; SELECT 1; @\nSELECT 2;", 1),
        ("SELECT 0;\nSELECT 1; @\n", 1),
        ("SELECT 0; SELECT 1, @\n2;", 1),
        ("SELECT 0;\n@\n@\nSELECT 1;", 1),
    ],
)
def test_ignore_speaks_about(text: str, index: int) -> None:
    script = parse(text.replace("@", "-- pgmigrate: ignore[PMG301] x"))
    assert not script.defects
    assert {d.statement for d in script.directives} == {index}


def test_ignore_behind_everything_is_a_defect() -> None:
    script = parse("SELECT 0;\n-- pgmigrate: ignore[PMG301] x\n")
    assert "applies to nothing" in script.defects[0].message


def test_ignore_in_a_file_of_comments_speaks_about_the_file() -> None:
    [directive] = parse("-- pgmigrate: ignore[PMG401] nothing to undo\n").directives
    assert directive.statement is None


def test_crlf_does_not_become_part_of_the_reason() -> None:
    [directive] = parse("-- pgmigrate: ignore[PMG301] why\r\nSELECT 1;\r\n").directives
    assert directive.reason == "why"
