"""From the bytes of one file to a Script."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pytest_pgmigrate.discovery import script as script_module
from pytest_pgmigrate.discovery.script import load_script
from pytest_pgmigrate.model.migration import Script, TransactionRule


def load(tmp_path: Path, content: bytes) -> Script:
    path = tmp_path / "1_a.up.sql"
    path.write_bytes(content)
    return load_script(path, tmp_path)


def defects(script: Script) -> list[tuple[str, int, int]]:
    return [(d.kind, d.place.line, d.place.column) for d in script.defects]


def test_one_file_is_one_chunk_with_its_exact_text(tmp_path: Path) -> None:
    content = "CREATE TABLE größe (a int);\r\n\r\n  CREATE INDEX i ON größe (a);\r\n".encode()
    script = load(tmp_path, content)
    [chunk] = script.chunks
    assert chunk.text.encode() == content
    assert chunk.rule is TransactionRule.IMPLICIT
    assert script.checksum == hashlib.sha256(content).hexdigest()
    first, second = script.statements
    assert (str(first.place), str(second.place)) == ("1_a.up.sql:1:1", "1_a.up.sql:3:3")
    assert chunk.text[second.start : second.end] == second.text == "CREATE INDEX i ON größe (a)"
    assert (second.kinds, second.relations, second.creates) == (("CREATE INDEX",), ("größe",), ("i",))
    assert script.sendable
    assert not script.defects


def test_no_transaction_is_still_one_chunk(tmp_path: Path) -> None:
    script = load(
        tmp_path, b"-- pgmigrate: no-transaction builds concurrently\nDROP INDEX i;\nCREATE INDEX i ON t (a);"
    )
    assert [chunk.rule for chunk in script.chunks] == [TransactionRule.NONE]
    assert len(script.statements) == 2


def test_no_transaction_in_a_string_is_text(tmp_path: Path) -> None:
    script = load(tmp_path, b"SELECT '\n-- pgmigrate: no-transaction x\n'")
    assert script.chunks[0].rule is TransactionRule.IMPLICIT
    assert not script.directives


@pytest.mark.parametrize("content", [b"", b"  \n", b"-- nothing to undo\n", b"/* a */;;"])
def test_blank(tmp_path: Path, content: bytes) -> None:
    script = load(tmp_path, content)
    assert script.blank
    assert script.sendable
    assert [chunk.text.encode() for chunk in script.chunks] == [content]


def test_byte_order_mark_is_told_and_kept(tmp_path: Path) -> None:
    script = load(tmp_path, b"\xef\xbb\xbfSELECT 1; SELECT 2")
    assert defects(script) == [("bom", 1, 1)]
    assert script.chunks[0].text[0] == "\ufeff"
    assert [s.text for s in script.statements] == ["\ufeffSELECT 1", "SELECT 2"]
    assert script.statements[0].kind == "select_stmt"


def test_lexical_trouble_once_per_kind_with_its_place(tmp_path: Path) -> None:
    script = load(tmp_path, b"SELECT 1;\n  \\set x 1\n\\echo b\nCREATE TABLE t (a int;\n")
    assert defects(script) == [("lexical", 2, 3), ("lexical", 4, 16)]
    assert "1 more" in script.defects[0].message
    assert not script.sendable


def test_what_follows_a_placeholder_is_not_judged(tmp_path: Path) -> None:
    script = load(tmp_path, b"CREATE TABLE {{ it's }} (a int);\nSELECT 1 FROM {{ b }};\n")
    assert defects(script) == [("template", 1, 14)]
    assert "{{ it's }}" in script.defects[0].message


def test_trouble_in_front_of_a_placeholder_is_told_too(tmp_path: Path) -> None:
    assert defects(load(tmp_path, b"\\set a 1\nSELECT {{ b }};")) == [("template", 2, 8), ("lexical", 1, 1)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"SELECT '\xff'", "not UTF-8"),
        (b"SELECT 1\0", "NUL"),
        ("SELECT 1".encode("utf-16"), "UTF-16"),
        (b"\x7fELF\x01\0\0", "NUL"),
    ],
)
def test_bytes_that_are_no_text(tmp_path: Path, content: bytes, words: str) -> None:
    script = load(tmp_path, content)
    assert [d.kind for d in script.defects] == ["unreadable"]
    assert words in script.defects[0].message
    assert script.checksum == hashlib.sha256(content).hexdigest()
    assert not script.sendable


def test_things_that_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "1_dir.up.sql").mkdir()
    (tmp_path / "2_loop.up.sql").symlink_to("2_loop.up.sql")
    (tmp_path / "3_gone.up.sql").symlink_to("nowhere")
    os.mkfifo(tmp_path / "4_pipe.up.sql")
    for path in tmp_path.iterdir():
        script = load_script(path, tmp_path)
        assert [d.kind for d in script.defects] == ["unreadable"], path
        assert script.defects[0].message
        assert script.defects[0].fix


def test_a_link_to_nowhere_is_named_with_its_target(tmp_path: Path) -> None:
    path = tmp_path / "1_a.up.sql"
    path.symlink_to("gone.sql")
    [defect] = load_script(path, tmp_path).defects
    assert defect.message == "is a symbolic link to gone.sql, which does not exist"
    [gone] = load_script(tmp_path / "2_b.up.sql", tmp_path).defects
    assert gone.message == "is gone since the folder was listed"


def test_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "1_a.up.sql"
    path.write_text("SELECT 1")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads files of any mode; run the tests as an ordinary user")
    [defect] = load_script(path, tmp_path).defects
    assert (defect.kind, "ermission" in defect.message) == ("unreadable", True)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script_module, "SIZE_LIMIT", 8)
    [defect] = load(tmp_path, b"SELECT 1;").defects
    assert defect.kind == "unreadable"
    assert not load(tmp_path, b"SELECT 1").defects


def test_a_large_file_is_read_whole(tmp_path: Path) -> None:
    row = b"INSERT INTO t VALUES (1, 'it''s; -- x');\n"
    script = load(tmp_path, row * 5000)
    assert len(script.statements) == 5000
    assert script.statements[-1].place.line == 5000
