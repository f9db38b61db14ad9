"""Data that the user's list leaves out: no finding, and never left out in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.histories import Outcome, run

TABLES = """
CREATE TABLE users (id BIGSERIAL PRIMARY KEY, name TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT 0);
CREATE TABLE audit_log (id BIGSERIAL PRIMARY KEY, said TEXT NOT NULL);
CREATE FUNCTION users_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.revision := OLD.revision + 1;
    INSERT INTO audit_log (said) VALUES (NEW.name);
    RETURN NEW;
END;
$$;
CREATE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION users_touch();
"""
FILES = {
    "000001_create.up.sql": TABLES,
    "000001_create.down.sql": "DROP TABLE audit_log, users; DROP FUNCTION users_touch();",
    "000002_shout.up.sql": "UPDATE users SET name = name || '!' WHERE name NOT LIKE '%!';",
    "000002_shout.down.sql": "UPDATE users SET name = left(name, -1) WHERE name LIKE '%!';",
}
FLAGS = ("--pgmigrate-engine=embedded", "--pgmigrate-select=PMG2,PMG4,PMG7")


def _run(tmp_path: Path, *flags: str) -> Outcome:
    source = tmp_path / "source"
    source.mkdir()
    for name, text in FILES.items():
        (source / name).write_text(text, encoding="utf-8")
    project = tmp_path / "project"
    project.mkdir()
    return run(project, {"db": source}, *FLAGS, *flags)


def test_without_the_list_they_are_findings(tmp_path: Path) -> None:
    outcome = _run(tmp_path)
    messages = [f["message"] for f in outcome.document["findings"] if f["code"] in ("PMG402", "PMG403")]
    assert len(messages) == 2, messages
    assert "audit_log" in messages[0]
    assert "revision" in messages[1]


def test_with_the_list_they_are_counted(tmp_path: Path) -> None:
    outcome = _run(
        tmp_path, "--pgmigrate-ignore-data=*.revision,public.audit_log.*", "--pgmigrate-ignore-data=*.no_such"
    )
    assert outcome.findings("db") == set(), outcome.text[-3000:]
    assert outcome.ret == pytest.ExitCode.OK
    key = "000002_shout"
    assert (
        f"ignored data: public.users.revision differs in 20 rows ({key}): pgmigrate_ignore_data *.revision"
        in outcome.text
    )
    assert (
        f"ignored data: public.audit_log differs in 40 rows ({key}): pgmigrate_ignore_data public.audit_log.*"
        in outcome.text
    )
    assert "ignored data: nothing that differs fits pgmigrate_ignore_data *.no_such" in outcome.text
    assert {e["pattern"]: e["rows"] for e in outcome.document["ignored_data"]} == {
        "*.revision": 20,
        "public.audit_log.*": 40,
        "*.no_such": 0,
    }


def test_a_pattern_of_another_shape_is_refused(tmp_path: Path) -> None:
    outcome = _run(tmp_path, "--pgmigrate-ignore-data=users")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    assert "table.column" in outcome.text
