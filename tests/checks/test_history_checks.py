"""Family 1xx and the directive grammar: judged from files alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_pgmigrate.model.finding import Severity
from pytest_pgmigrate.model.migration import Defect, FileEntry, History, Place, Record, Recorded
from tests.checks import made

ORDERS = made.migration("000001", "create_orders", index=0)
NOTE = made.migration("000002", "add_note")
SOUND = made.history(ORDERS, NOTE)


def _entry(name: str, role: str, version: str | None, words: str | None) -> FileEntry:
    return FileEntry(f"{made.FOLDER}/{name}", f"/shop/{name}", role, version, words)


def _numbered(*versions: str) -> History:
    return made.history(*(made.migration(v, f"step_{n}", index=n) for n, v in enumerate(versions)))


@pytest.mark.parametrize("code", sorted(c for c, check in made.CHECKS.items() if check.scope == "history"))
def test_silent_on_a_sound_history(code: str) -> None:
    assert made.findings(code, SOUND) == []
    assert made.findings(code, made.history()) == []


def test_missing_down_names_the_file_to_write() -> None:
    found = made.only("PMG101", made.history(ORDERS, made.migration(down=None)))
    assert made.where(found) == ("000002_add_note.up.sql", 1)
    assert "000002_add_note.down.sql" in found.message
    assert "orders.note" in found.fix
    assert found.migration == "000002_add_note"


def test_missing_down_accepts_a_declaration() -> None:
    up = made.script("000002_add_note.up.sql", directives=[made.directive("irreversible", reason="law")])
    assert made.findings("PMG101", made.history(ORDERS, made.migration(up=up, down=None))) == []


def test_orphan_down_names_the_up_that_resembles_it() -> None:
    entry = _entry("000003_add_note.down.sql", "orphan-down", "000003", "add_note")
    found = made.only("PMG102", made.history(ORDERS, NOTE, more=[entry]))
    assert made.where(found) == ("000003_add_note.down.sql", 1)
    assert "000002_add_note.up.sql" in found.message
    assert found.migration == ""


def test_duplicate_version_compares_numbers() -> None:
    found = made.only("PMG103", made.history(ORDERS, NOTE, made.migration("2", "add_phone", index=2)))
    assert made.where(found) == ("2_add_phone.up.sql", 1)
    assert "000002_add_note.up.sql" in found.message


@pytest.mark.parametrize("versions", [("000001", "000002", "000004"), ("1", "2", "3", "5")])
def test_version_gap_is_a_warning(versions: tuple[str, ...]) -> None:
    found = made.only("PMG104", _numbered(*versions))
    assert found.severity is Severity.WARNING
    assert f"version {int(versions[-1]) - 1} is missing before {versions[-1]}" in found.message


def test_version_gap_of_several_names_both_ends() -> None:
    assert "version 3 to 5 is missing" in made.only("PMG104", _numbered("1", "2", "6")).message


@pytest.mark.parametrize(
    "versions",
    [
        ("20260105093000", "20260105093001", "20260119140000"),
        ("10", "20", "30"),
        ("v1", "v2", "v4"),
        ("1",),
        ("1", "1", "2"),
    ],
)
def test_version_gap_leaves_other_numbering_alone(versions: tuple[str, ...]) -> None:
    assert made.findings("PMG104", _numbered(*versions)) == []


def _applied(name: str, checksum: str | None, success: bool = True) -> Recorded:
    return Recorded(name.split("_", 1)[0], name, checksum, success=success)


def test_edited_after_apply_shows_both_checksums() -> None:
    record = Record("ledger", "ledger.csv", (_applied("000002_add_note.up.sql", "b" * 64),))
    found = made.only("PMG105", replace(SOUND, record=record))
    assert made.where(found) == ("000002_add_note.up.sql", 1)
    assert "a" * 12 in found.message
    assert "b" * 12 in found.message
    assert "the ledger" in found.message


@pytest.mark.parametrize("checksum", ["a" * 64, "A" * 64, "sha256:" + "a" * 64, "a" * 16, None])
def test_edited_after_apply_silent_on_the_same_text(checksum: str | None) -> None:
    record = Record("ledger", "ledger.csv", (_applied("000002_add_note.up.sql", checksum),))
    assert made.findings("PMG105", replace(SOUND, record=record)) == []


def test_edited_after_apply_passes_over_a_failed_attempt() -> None:
    record = Record("ledger", "ledger.csv", (_applied("000002_add_note.up.sql", "b" * 64, success=False),))
    assert made.findings("PMG105", replace(SOUND, record=record)) == []


def test_edited_after_apply_names_the_merge_base() -> None:
    record = Record("git", "merge-base with main", (_applied("000002_add_note.up.sql", "b" * 64),))
    assert "git (merge-base with main)" in made.only("PMG105", replace(SOUND, record=record)).message


def test_out_of_order_version() -> None:
    rows = (_applied("000001_create_orders.up.sql", None), _applied("000003_add_phone.up.sql", None))
    found = made.only("PMG106", replace(SOUND, record=Record("ledger", "ledger.csv", rows)))
    assert made.where(found) == ("000002_add_note.up.sql", 1)
    assert "000002" in found.message


def test_out_of_order_version_silent_on_the_newest() -> None:
    record = Record("ledger", "ledger.csv", (Recorded("1", None, None),))
    assert made.findings("PMG106", replace(SOUND, record=record)) == []


def test_out_of_order_version_with_nothing_but_failures() -> None:
    record = Record("ledger", "ledger.csv", (Recorded("3", None, None, success=False),))
    assert made.findings("PMG106", replace(SOUND, record=record)) == []


DEFECTS = [
    ("PMG107", "unreadable"),
    ("PMG108", "template"),
    ("PMG110", "lexical"),
    ("PMG110", "bom"),
    ("PMG902", "directive"),
]


@pytest.mark.parametrize(("code", "kind"), DEFECTS)
def test_defects_are_reported_where_they_stand(code: str, kind: str) -> None:
    up = made.script("000002_add_note.up.sql", defects=[Defect(kind, Place("", 3, 7), "what is wrong", "what to do")])
    found = made.only(code, made.history(ORDERS, made.migration(up=up)))
    assert (found.place.line, found.place.column) == (3, 7)
    assert (found.message, found.fix) == ("what is wrong", "what to do")
    assert found.migration == "000002_add_note"
    others = {c for c, _ in DEFECTS} - {code}
    assert not any(made.findings(other, made.history(made.migration(up=up))) for other in others)


@pytest.mark.parametrize(("code", "kind"), DEFECTS)
def test_defects_of_a_down_and_of_an_orphan_count(code: str, kind: str) -> None:
    broken = made.script("000003_x.down.sql", defects=[Defect(kind, Place("", 1, 1), "wrong", "repair")])
    assert made.only(code, made.history(made.migration(down=broken))).migration == "000002_add_note"
    assert made.only(code, replace(SOUND, orphans=(broken,))).migration == ""


def test_unknown_file_name_is_a_warning_about_the_file() -> None:
    entry = _entry("000003-add-phone.up.sql", "unknown", None, None)
    found = made.only("PMG109", made.history(ORDERS, NOTE, more=[entry]))
    assert found.severity is Severity.WARNING
    assert made.where(found) == ("000003-add-phone.up.sql", 1)
    assert "{version}_{description}.{up|down}.sql" in found.message
