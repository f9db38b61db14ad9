"""The ledger of the production database as a CSV file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pgmigrate.discovery import discover
from pytest_pgmigrate.discovery.folders import load_history
from pytest_pgmigrate.discovery.record import read_record
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.migration import History, Recorded
from pytest_pgmigrate.registry import load_formats

SHA = "ab" * 32


@pytest.fixture
def history(tmp_path: Path) -> History:
    folder = tmp_path / "migrations"
    folder.mkdir()
    for number in (1, 2, 3):
        (folder / f"00{number}_x.up.sql").write_text(f"SELECT {number};")
    return load_history(folder, tmp_path)


def read(history: History, tmp_path: Path, text: str) -> tuple[Recorded, ...]:
    (tmp_path / "ledger.csv").write_text(text, encoding="utf-8", newline="")
    found = read_record("ledger.csv", history, tmp_path)
    assert found.source == "ledger"
    return found.rows


def test_all_columns(history: History, tmp_path: Path) -> None:
    text = (
        "version,filename,checksum,applied_at,execution_time_ms,success,host\n"
        f"001,001_x.up.sql,{SHA},2024-01-02 03:04:05+00,12,t,a\n"
        '002,"002,x.up.sql",,2024-01-03,,f,\n'
    )
    assert read(history, tmp_path, text) == (
        Recorded("001", "001_x.up.sql", SHA, "2024-01-02 03:04:05+00", True),
        Recorded("002", "002,x.up.sql", None, "2024-01-03", False),
    )


def test_versions_take_the_spelling_of_the_files(history: History, tmp_path: Path) -> None:
    rows = read(history, tmp_path, "version\n1\nv2\n00003\n20\nabc\n")
    assert [row.version for row in rows] == ["001", "002", "003", "20", "abc"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("\ufeffVersion , Filename\r\n1,a\r\n", 1),
        ("version\n\n1\n\n", 1),
        ("version\n", 0),
    ],
)
def test_other_ways_to_write_csv(history: History, tmp_path: Path, text: str, count: int) -> None:
    assert len(read(history, tmp_path, text)) == count


def test_only_sha256_is_compared(history: History, tmp_path: Path) -> None:
    ours = history.migrations[0].up.checksum
    lines = [f"1,SHA256:{ours.upper()}", f"2,{'ab' * 16}", "3,made-up"]
    (tmp_path / "ledger.csv").write_text("\n".join(["version,checksum", *lines]))
    found = read_record("ledger.csv", history, tmp_path)
    assert [row.checksum for row in found.rows] == [ours, None, None]
    assert "2 checksums" in found.detail


def test_shortened_sha256_is_kept_when_one_of_them_fits(history: History, tmp_path: Path) -> None:
    ours = history.migrations[0].up.checksum
    rows = read(history, tmp_path, f"version,checksum\n1,{ours[:16]}\n2,{'ab' * 8}\n")
    assert [row.checksum for row in rows] == [ours[:16], "ab" * 8]


@pytest.mark.parametrize(("value", "success"), [("t", True), ("TRUE", True), ("1", True), ("", True), ("f", False)])
def test_success(history: History, tmp_path: Path, value: str, success: bool) -> None:
    assert read(history, tmp_path, f"version,success\n1,{value}\n")[0].success is success


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("1,a,b\n2,c,d\n", "no header"),
        ("id,name\n1,a\n", "no header with a column version"),
        ("version;filename\n1;a\n", "separated by ';'"),
        ("version,version\n1,2\n", "twice"),
        ("version,filename\n1\n", "line 2: 1 fields"),
        ("version,filename\n1,a,b\n", "line 2: 3 fields"),
        ('version\n"1\n', "line 2"),
        ("version,filename\n,a\n", "row 1: the version is empty"),
        ("version,success\n1,maybe\n", "neither true nor false"),
    ],
)
def test_bad_csv(history: History, tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(history, tmp_path, text)
    assert words in str(caught.value)
    assert "ledger.csv" in str(caught.value)


def test_files_that_cannot_be_read(history: History, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"version\n\xff\n")
    for value, words in {"no.csv": "no file no.csv", "migrations": "directory", "latin": "UTF-8", " ": "empty"}.items():
        with pytest.raises(UsageError, match=words):
            read_record(value, history, tmp_path)


def test_a_file_name_with_an_equals_sign_is_a_file(history: History, tmp_path: Path) -> None:
    (tmp_path / "a=b.csv").write_text("version\n1\n")
    assert len(read_record("a=b.csv", history, tmp_path).rows) == 1


def test_the_table_of_golang_migrate(history: History, tmp_path: Path) -> None:
    rows = read(history, tmp_path, "version,dirty\n2,f\n")
    assert [(row.version, row.success, row.filename) for row in rows] == [("001", True, None), ("002", True, None)]
    rows = read(history, tmp_path, "version,dirty\n2,t\n")
    assert [(row.version, row.success) for row in rows] == [("001", True), ("002", False)]
    rows = read(history, tmp_path, "version,dirty\n9,f\n")
    assert [row.version for row in rows] == ["001", "002", "003", "9"]
    assert read(history, tmp_path, "version,dirty\n") == ()
    with pytest.raises(UsageError, match="not a number"):
        read(history, tmp_path, "version,dirty\nx,f\n")


def test_discover_takes_the_ledger(history: History, tmp_path: Path) -> None:
    (tmp_path / "ledger.csv").write_text("version\n1\n")
    [found] = discover(tmp_path, [], load_formats(), ledger="ledger.csv")
    assert [row.version for row in found.record.rows] == ["001"]
