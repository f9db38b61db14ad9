"""Shapes of migrations as real histories have them: each gives exactly these findings, with these words, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.histories import Found, Outcome, run

if TYPE_CHECKING:
    from pathlib import Path

BASE = """
CREATE TABLE members (
    id UUID PRIMARY KEY,
    login VARCHAR(40) NOT NULL,
    directory_id TEXT UNIQUE,
    last_ip TEXT NOT NULL,
    joined_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE TABLE visits (
    id UUID PRIMARY KEY,
    member_id UUID REFERENCES members (id),
    seen_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX visits_seen_at ON visits (seen_at);
CREATE TABLE notes (name TEXT PRIMARY KEY, body TEXT);
"""

UP, DOWN = "000002_change.up.sql", "000002_change.down.sql"

Shape = tuple[str, str, set[Found]]

SHAPES: dict[str, Shape] = {
    "blank_text_instead_of_null": (
        "UPDATE members SET directory_id = NULL WHERE directory_id = '';",
        "UPDATE members SET directory_id = '' WHERE directory_id IS NULL;",
        set(),
    ),
    "same_text_for_all": (
        "UPDATE members SET directory_id = NULL;",
        "UPDATE members SET directory_id = '' WHERE directory_id IS NULL;",
        {(DOWN, 1, "PMG401")},
    ),
    "drops_an_index_never_made": (
        "ALTER TABLE members ADD COLUMN disabled BOOLEAN NOT NULL DEFAULT false;",
        "DROP INDEX members_disabled;\nALTER TABLE members DROP COLUMN disabled;",
        {(DOWN, 1, "PMG401")},
    ),
    "stray_comma": (
        "ALTER TABLE members DROP COLUMN last_ip;",
        "ALTER TABLE members ADD last_ip TEXT NOT NULL,;",
        {(DOWN, 1, "PMG401")},
    ),
    "clock_default": (
        "ALTER TABLE visits ADD COLUMN used_at TIMESTAMPTZ NOT NULL DEFAULT now();",
        "ALTER TABLE visits DROP COLUMN used_at;",
        set(),
    ),
    "may_be_empty_from_now_on": (
        "ALTER TABLE members ALTER COLUMN last_ip DROP NOT NULL;",
        "ALTER TABLE members ALTER COLUMN last_ip SET NOT NULL;",
        {(DOWN, 1, "PMG411")},
    ),
    "may_be_empty_and_is_filled_again": (
        "ALTER TABLE members ALTER COLUMN last_ip DROP NOT NULL;",
        "UPDATE members SET last_ip = '' WHERE last_ip IS NULL;\n"
        "ALTER TABLE members ALTER COLUMN last_ip SET NOT NULL;",
        set(),
    ),
    "whole_seconds": (
        "CREATE TABLE kept AS SELECT id, member_id, extract(epoch FROM seen_at)::bigint AS seen FROM visits;\n"
        "DELETE FROM visits;",
        "INSERT INTO visits SELECT id, member_id, to_timestamp(seen) FROM kept;\nDROP TABLE kept;",
        {(DOWN, 1, "PMG403")},
    ),
    "microseconds": (
        "CREATE TABLE kept AS SELECT id, member_id, extract(epoch FROM seen_at) * 1000000 AS seen FROM visits;\n"
        "DELETE FROM visits;",
        "INSERT INTO visits SELECT id, member_id, 'epoch'::timestamptz + seen * interval '1 microsecond' FROM kept;\n"
        "DROP TABLE kept;",
        set(),
    ),
    "type_not_quite_restored": (
        "ALTER TABLE members ALTER COLUMN login TYPE TEXT;\nALTER TABLE notes ADD COLUMN kind TEXT;",
        "ALTER TABLE notes DROP COLUMN kind;\nALTER TABLE members ALTER COLUMN login TYPE VARCHAR(60);",
        {(DOWN, 2, "PMG402")},
    ),
    "down_makes_an_index_more": (
        "DROP INDEX visits_seen_at;",
        "CREATE INDEX visits_seen_at ON visits (seen_at);\nCREATE INDEX visits_member ON visits (member_id);",
        {(DOWN, 2, "PMG402")},
    ),
    "table_back_without_rows": (
        "DROP TABLE visits;",
        "ALTER TABLE notes SET (fillfactor = 90);\nALTER TABLE notes RESET (fillfactor);\n"
        "CREATE TABLE visits (\n"
        "    id UUID PRIMARY KEY,\n"
        "    member_id UUID REFERENCES members (id),\n"
        "    seen_at TIMESTAMPTZ NOT NULL\n"
        ");\n"
        "CREATE INDEX visits_seen_at ON visits (seen_at);",
        {(DOWN, 3, "PMG403")},
    ),
    "deleted_by_the_up": (
        "ALTER TABLE visits ADD COLUMN zone TEXT;\nDELETE FROM visits WHERE zone IS NULL;",
        "ALTER TABLE visits DROP COLUMN zone;",
        {(DOWN, 1, "PMG403")},
    ),
    "column_comes_back_last": (
        "UPDATE notes SET body = name;\nALTER TABLE members DROP COLUMN directory_id;",
        "ALTER TABLE members ADD COLUMN directory_id TEXT UNIQUE;",
        {(DOWN, 1, "PMG403"), (DOWN, 1, "PMG405")},
    ),
    "empty_down_that_may_run_again": (
        "DROP INDEX IF EXISTS visits_seen_at;",
        "-- nothing\n",
        {(DOWN, 1, "PMG404")},
    ),
    "empty_down_of_nothing": ("UPDATE members SET login = normalize(login, NFC);", "-- nothing\n", set()),
    "foreign_key_other_action": (
        "ALTER TABLE visits DROP CONSTRAINT visits_member_id_fkey, ADD CONSTRAINT visits_member_id_fkey\n"
        "    FOREIGN KEY (member_id) REFERENCES members (id) ON DELETE CASCADE;",
        "ALTER TABLE visits DROP CONSTRAINT visits_member_id_fkey, ADD CONSTRAINT visits_member_id_fkey\n"
        "    FOREIGN KEY (member_id) REFERENCES members (id) ON DELETE SET NULL;",
        {(DOWN, 1, "PMG402")},
    ),
}

LOCKS: dict[str, set[Found]] = {
    "blank_text_instead_of_null": {(DOWN, 1, "PMG701")},
    "same_text_for_all": {(UP, 1, "PMG340")},
    "drops_an_index_never_made": {(UP, 1, "PMG330")},
    "stray_comma": {(UP, 1, "PMG330"), (UP, 1, "PMG601")},
    "clock_default": {(UP, 1, "PMG330")},
    "may_be_empty_from_now_on": {(UP, 1, "PMG330"), (DOWN, 1, "PMG308")},
    "may_be_empty_and_is_filled_again": {(UP, 1, "PMG330"), (DOWN, 2, "PMG308"), (DOWN, 1, "PMG408")},
    "whole_seconds": {(UP, 2, "PMG340"), (UP, 1, "PMG701")},
    "microseconds": {(UP, 2, "PMG340")},
    "type_not_quite_restored": {(UP, 1, "PMG330"), (UP, 2, "PMG333"), (DOWN, 2, "PMG306"), (DOWN, 2, "PMG411")},
    "down_makes_an_index_more": {(UP, 1, "PMG330"), (UP, 1, "PMG302"), (DOWN, 1, "PMG301"), (DOWN, 2, "PMG301")},
    "table_back_without_rows": {(UP, 1, "PMG330"), (UP, 1, "PMG320"), (UP, 1, "PMG323")},
    "deleted_by_the_up": {(UP, 1, "PMG330"), (UP, 2, "PMG341")},
    "column_comes_back_last": {(UP, 1, "PMG340"), (UP, 2, "PMG330"), (DOWN, 1, "PMG311"), (UP, 2, "PMG601")},
    "empty_down_that_may_run_again": {(UP, 1, "PMG330"), (UP, 1, "PMG302")},
    "empty_down_of_nothing": {(UP, 1, "PMG340")},
    "foreign_key_other_action": {(UP, 1, "PMG330"), (UP, 1, "PMG310"), (DOWN, 1, "PMG310")},
}
"""What else such shapes do: real histories set no lock_timeout, scan and write whole tables in one go, and take rows and old
releases for granted."""

SAID: dict[str, tuple[str, str, str]] = {
    "drops_an_index_never_made": ("PMG401", "fix", "the up makes no members_disabled"),
    "same_text_for_all": ("PMG401", "fix", "several rows get the same unique value"),
    "may_be_empty_from_now_on": ("PMG411", "fix", "before SET NOT NULL"),
    "whole_seconds": ("PMG403", "message", "other values of seen_at than before the up"),
    "down_makes_an_index_more": ("PMG402", "fix", "not create index public.visits_member"),
    "deleted_by_the_up": ("PMG403", "message", "deleted by the up at line 2"),
    "column_comes_back_last": ("PMG405", "message", ": directory_id"),
    "empty_down_that_may_run_again": ("PMG404", "effect", "undoes nothing"),
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All shapes in one run on one pair of servers; each is a history of its own."""
    root = tmp_path_factory.mktemp("shapes")
    folders: dict[str, Path] = {}
    for name, (up, down, _) in SHAPES.items():
        folder = folders[name] = root / name
        folder.mkdir()
        texts = {"000001_start.up.sql": BASE, "000001_start.down.sql": "DROP TABLE visits, members, notes;"}
        for file, text in {**texts, UP: up, DOWN: down}.items():
            (folder / file).write_text(text, encoding="utf-8")
    return run(tmp_path_factory.mktemp("project"), folders, "--pgmigrate-engine=embedded")


def _finding(outcome: Outcome, name: str, code: str) -> dict[str, Any]:
    found = [f for f in outcome.document["findings"] if f["file"].startswith(f"{name}/") and f["code"] == code]
    assert len(found) == 1, outcome.text[-3000:]
    return dict(found[0])


@pytest.mark.parametrize("name", SHAPES)
def test_shape_gives_exactly_its_findings(outcome: Outcome, name: str) -> None:
    assert outcome.findings(name) == SHAPES[name][2] | LOCKS.get(name, set()), outcome.text[-3000:]


@pytest.mark.parametrize("name", SAID)
def test_finding_says_it_in_the_users_own_names(outcome: Outcome, name: str) -> None:
    code, part, words = SAID[name]
    assert words in _finding(outcome, name, code)[part]


def test_later_collision_is_promised_only_where_it_was_seen(outcome: Outcome) -> None:
    assert "next up then fails" not in _finding(outcome, "empty_down_that_may_run_again", "PMG404")["effect"]


def test_no_traceback(outcome: Outcome) -> None:
    assert not outcome.traceback
