"""The settings that tell the lock checks more: rows of production, budgets, the runner's time-outs, own queries, scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.histories import Outcome, run

FIRST = (
    "CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);\n"
    "CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users);\n",
    "DROP TABLE orders;\nDROP TABLE users;\n",
)
INDEX = ("SET LOCAL lock_timeout = '5s';\nCREATE INDEX users_email ON users (email);\n", "DROP INDEX users_email;\n")
UPDATE = ("UPDATE users SET email = lower(email);\n", "SELECT 1;\n")
PLAIN = ("ALTER TABLE users ADD COLUMN phone text;\n", "ALTER TABLE users DROP COLUMN phone;\n")


def judged(folder: Path, second: tuple[str, str], *flags: str, files: dict[str, str] | None = None) -> Outcome:
    source = folder / "source"
    source.mkdir()
    for number, (up, down) in enumerate((FIRST, second), 1):
        (source / f"{number:06d}_step.up.sql").write_text(up)
        (source / f"{number:06d}_step.down.sql").write_text(down)
    project = folder / "project"
    for name, text in (files or {}).items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    project.mkdir(exist_ok=True)
    return run(project, {"db": source}, "--pgmigrate-engine=embedded", *flags)


def found(outcome: Outcome, code: str) -> list[dict[str, Any]]:
    return [f for f in outcome.document["findings"] if f["code"] == code and ".up." in f["file"]]


def test_rows_of_production_are_quoted(tmp_path: Path) -> None:
    outcome = judged(
        tmp_path, INDEX, "--pgmigrate-production-rows=rows.csv", files={"rows.csv": "table,rows\nusers,400000000\n"}
    )
    [finding] = found(outcome, "PMG301")
    assert "(400,000,000 in production)" in finding["message"]
    assert (finding["severity"], finding["observed"]["production_rows"]) == ("error", 400_000_000)


def test_a_small_table_is_exempt(tmp_path: Path) -> None:
    outcome = judged(tmp_path, INDEX, "--pgmigrate-production-rows=rows.csv", files={"rows.csv": "users,40\n"})
    assert found(outcome, "PMG301") == []
    assert outcome.ret == 0, outcome.text


def test_the_budget_decides_what_is_small(tmp_path: Path) -> None:
    outcome = judged(
        tmp_path,
        INDEX,
        "--pgmigrate-production-rows=rows.csv",
        "--pgmigrate-max-blocked-rows=10",
        files={"rows.csv": "users,40\n"},
    )
    assert [f["severity"] for f in found(outcome, "PMG301")] == ["error"]


def test_rows_per_statement(tmp_path: Path) -> None:
    outcome = judged(tmp_path, UPDATE, "--pgmigrate-max-rows-per-statement=5")
    assert [f["severity"] for f in found(outcome, "PMG340")] == ["error"]


def test_without_a_budget_an_unbatched_write_is_a_warning(tmp_path: Path) -> None:
    outcome = judged(tmp_path, UPDATE)
    assert [f["severity"] for f in found(outcome, "PMG340")] == ["warning"]
    assert outcome.ret == 0, outcome.text


def test_the_runners_time_out_is_declared_once(tmp_path: Path) -> None:
    outcome = judged(tmp_path, PLAIN, "--pgmigrate-runner-lock-timeout=5")
    assert found(outcome, "PMG330") == []


def test_without_it_one_warning(tmp_path: Path) -> None:
    outcome = judged(tmp_path, PLAIN)
    assert [f["severity"] for f in found(outcome, "PMG330")] == ["warning"]


def test_own_queries_are_tried_and_named(tmp_path: Path) -> None:
    outcome = judged(
        tmp_path,
        INDEX,
        "--pgmigrate-queries=app",
        files={"app/sign_up.sql": "INSERT INTO users VALUES (777, 'x@example.org')\n", "app/broken.sql": "SELEC 1\n"},
    )
    [finding] = found(outcome, "PMG301")
    assert any("sign_up.sql" in line and "waited" in line for line in finding["details"]), finding["details"]
    notes = [n["reason"] for n in outcome.document["not_judged"] if "broken.sql" in n["reason"]]
    assert notes, outcome.document["not_judged"]
    assert not outcome.traceback


def test_growth_is_in_the_report(tmp_path: Path) -> None:
    outcome = judged(tmp_path, INDEX, "--pgmigrate-scale")
    [entry] = [e for e in outcome.document["history"] if e["version"] == "000002"]
    [up] = [step for step in entry["steps"] if step["name"] == "up"]
    assert up["statements"][1]["growth"] == {"public.users": {"rows": [20, 100], "read": [20, 100], "class": "O(n)"}}


@pytest.mark.parametrize("text", ["users;40\n", "users,many\norders,2\n"])
def test_a_bad_file_is_an_error_in_words(tmp_path: Path, text: str) -> None:
    outcome = judged(tmp_path, INDEX, "--pgmigrate-production-rows=rows.csv", files={"rows.csv": text + "x\n"})
    assert outcome.ret == 4, outcome.text
    assert "is not 'table,rows'" in outcome.text
    assert not outcome.traceback
