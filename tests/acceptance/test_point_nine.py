"""What a down can fail to restore: for each kind of thing a history that does, and one that restores it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.histories import FIXTURES, Outcome, expected, run, words

RESTORE = FIXTURES / "restore"

LINES = {
    "default": "PMG402",
    "not_null": "PMG402",
    "type": "PMG402",
    "index": "PMG402",
    "index_validity": "PMG402",
    "constraint": "PMG402",
    "constraint_action": "PMG402",
    "constraint_validity": "PMG402",
    "grant": "PMG402",
    "owner": "PMG402",
    "comment": "PMG412",
    "statistics_target": "PMG412",
    "trigger_state": "PMG402",
    "function_body": "PMG402",
    "view_dropped_by_cascade": "PMG402",
    "policy": "PMG402",
    "row_security": "PMG402",
    "storage_parameters": "PMG402",
    "replica_identity": "PMG402",
    "unlogged": "PMG402",
    "sequence_value": "PMG402",
    "sequence_ownership": "PMG402",
    "sequence_behind_max": "PMG702",
    "enum_label": "PMG402",
    "enum_label_left": "PMG410",
    "extension": "PMG410",
    "role": "PMG402",
    "role_setting": "PMG402",
    "database_setting": "PMG402",
    "type_left": "PMG402",
    "column_order": "PMG405",
    "data_lost": "PMG403",
    "rows_deleted": "PMG403",
    "later_rows_lost": "PMG408",
    "reference_rows_doubled": "PMG703",
    "matview_unpopulated": "PMG704",
}
"""What is not restored, and the check that says so."""

WARNINGS = {"PMG405", "PMG410", "PMG412"}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All of them in one run; what the statements lock is not their subject."""
    folders = {f"{line}_{kind}": RESTORE / line / kind for line in LINES for kind in ("bad", "good")}
    flags = ("--pgmigrate-engine=embedded", "--pgmigrate-select=PMG2,PMG4,PMG5,PMG7")
    return run(tmp_path_factory.mktemp("project"), folders, *flags)


def _shown(outcome: Outcome, folder: str) -> list[dict[str, Any]]:
    return [
        f
        for f in outcome.document["findings"]
        if Path(f["file"]).parent == Path(folder) and f["severity"] != "info" and not f["ignored"]
    ]


def test_every_line_has_its_pair() -> None:
    assert {path.name for path in RESTORE.iterdir() if path.is_dir()} == set(LINES)


@pytest.mark.parametrize("line", LINES)
def test_what_is_not_restored_is_named(outcome: Outcome, line: str) -> None:
    folder = RESTORE / line / "bad"
    found = _shown(outcome, f"{line}_bad")
    assert outcome.findings(f"{line}_bad") == expected(folder), found
    assert [(f["code"], f["severity"]) for f in found] == [
        (LINES[line], "warning" if LINES[line] in WARNINGS else "error")
    ]
    (said,) = words(folder)
    assert said in "\n".join([found[0]["message"], *found[0]["details"]])


@pytest.mark.parametrize("line", LINES)
def test_what_is_restored_is_silent(outcome: Outcome, line: str) -> None:
    assert _shown(outcome, f"{line}_good") == []
    assert all(v != "failed" for parts in outcome.parts(f"{line}_good").values() for v in parts.values())


def test_no_traceback(outcome: Outcome) -> None:
    assert not outcome.traceback
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
