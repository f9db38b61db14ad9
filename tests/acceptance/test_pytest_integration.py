"""``pytest --pgmigrate`` behaves like pytest: node ids, selection, caching, JUnit, xdist, exit codes, beside other tests."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.acceptance.conftest import EMBEDDED, GIVE_WAY, PATIENCE, Project, assert_clean, codes

NICK = "000002_nick"
PARTS = ("history", "apply", "rollback", "reapply", "rerun", "data", "locks", "interrupt", "replica", "compat")
ADD = GIVE_WAY + "ALTER TABLE users ADD COLUMN nick text;\n"
DROP = "ALTER TABLE users DROP COLUMN nick;\n"


def ids(outcome_text: str) -> list[str]:
    """The node ids that ``--co -q`` prints."""
    return [line for line in outcome_text.splitlines() if "::" in line]


def nodes(*names: str, folder: str = "migrations") -> list[str]:
    return [f"{folder}/{name}.up.sql::{part}" for name in names for part in PARTS]


@pytest.fixture
def two(project: Project) -> Project:
    """Two sound migrations and one ordinary test."""
    project.users().then(NICK, ADD, DROP)
    return project.write({"tests/test_own.py": "def test_own():\n    pass\n"})


@pytest.fixture
def wrong(project: Project) -> Project:
    """The second migration's down forgets an index; the third is sound."""
    project.users().then(
        NICK,
        "-- pgmigrate: no-transaction an index beside writes\nDROP INDEX CONCURRENTLY IF EXISTS users_email;\n"
        "CREATE INDEX CONCURRENTLY users_email ON users (email);\n",
        "SELECT 1;\n",
    )
    return project.then(
        "000003_age", GIVE_WAY + "ALTER TABLE users ADD COLUMN age int;\n", "ALTER TABLE users DROP COLUMN age;\n"
    )


def test_nothing_is_collected_without_the_flag(two: Project) -> None:
    outcome = two.pytest("--co", "-q")
    assert ids(outcome.text) == ["tests/test_own.py::test_own"]
    assert two.pytest("--co", "-q", "migrations").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_collected_in_history_order_with_stable_node_ids(two: Project) -> None:
    outcome = two.judge("--co", "-q")
    assert ids(outcome.text) == [*nodes("000001_users", NICK), "tests/test_own.py::test_own"]
    assert "migrations judged" not in outcome.text
    assert outcome.document == {}  # nothing ran, so there is nothing to report
    assert "report" not in outcome.text


def test_the_flag_takes_no_value(two: Project) -> None:
    outcome = two.pytest("--pgmigrate", "tests/test_own.py", "--co", "-q")
    # The file is pytest's argument; the folder found by itself is added to it.
    assert "tests/test_own.py::test_own" in ids(outcome.text)
    assert set(ids(outcome.text)) > set(nodes(NICK))


def test_a_found_folder_is_added_whatever_testpaths_says(two: Project) -> None:
    two.write({"pytest.ini": "[pytest]\ntestpaths = tests\n"})
    assert set(ids(two.judge("--co", "-q").text)) == {"tests/test_own.py::test_own", *nodes("000001_users", NICK)}


@pytest.mark.parametrize(
    ("ini", "arguments"),
    [
        ("", ["--pgmigrate-path=schema/steps"]),
        ("", ["schema/steps"]),
        ("", ["schema/steps/000001_users.up.sql"]),
        ("pgmigrate_path = schema/steps", []),
    ],
    ids=["flag", "argument", "file", "ini"],
)
def test_a_folder_in_an_unusual_place_is_named(project: Project, ini: str, arguments: list[str]) -> None:
    project.users("schema/steps").write({"pytest.ini": f"[pytest]\n{ini}\n"})
    outcome = project.judge("--co", "-q", *arguments)
    assert ids(outcome.text) == nodes("000001_users", folder="schema/steps"), outcome.text


def test_a_node_id_runs_only_that_part(wrong: Project) -> None:
    outcome = wrong.judge("migrations/000003_age.up.sql::apply", "-v")
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    assert "migrations/000003_age.up.sql::apply PASSED" in outcome.text
    # Its predecessors were applied, not judged: the fault of the second one is not told.
    assert [entry["name"] for entry in outcome.document["history"]] == ["age"]
    assert outcome.document["history"][0]["parts"] == {"apply": "passed"}
    assert codes(outcome) == set()


def test_k_and_m_select(two: Project) -> None:
    assert ids(two.judge("--co", "-q", "-k", "nick and rollback").text) == [f"migrations/{NICK}.up.sql::rollback"]
    assert ids(two.judge("--co", "-q", "-m", "pgmigrate").text) == nodes("000001_users", NICK)
    outcome = two.judge("-q", "-m", "not pgmigrate")
    assert f"1 passed, {2 * len(PARTS)} deselected" in outcome.text
    assert outcome.document["engine"] == ""  # no server was started for it


def test_beside_ordinary_tests_quiet_and_without_a_terminal(two: Project) -> None:
    outcome = two.judge("-q")
    assert f"{2 * len(PARTS) + 1} passed" in outcome.text
    assert outcome.ret == pytest.ExitCode.OK
    silent = two.judge("-p", "no:terminal")
    assert silent.text.strip() == ""
    assert silent.ret == pytest.ExitCode.OK
    assert len(silent.document["history"]) == 2


def test_verbose_lines_carry_the_node_id(two: Project) -> None:
    outcome = two.judge("-vv")
    for node in nodes("000001_users", NICK):
        assert f"{node} PASSED" in outcome.text
    assert "PMG204 rerun-refused (info)" in outcome.text
    assert "engine embedded" in outcome.text


def test_one_fault_fails_its_part_then_lf_runs_only_that(wrong: Project) -> None:
    junit = wrong.path / "junit.xml"
    outcome = wrong.judge(f"--junitxml={junit}", "-q", cache=True)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    assert codes(outcome) == {("000002_nick.up.sql", "PMG402")}
    assert_clean(outcome)
    cases = {(c.get("classname"), c.get("name")): c for c in ET.parse(junit).iter("testcase")}
    assert len(cases) == 3 * len(PARTS)
    failed = [key for key, case in cases.items() if case.find("failure") is not None]
    assert failed == [("migrations.000002_nick.up.sql", "rollback")]
    failure = cases[failed[0]].find("failure")
    assert failure is not None
    assert "PMG402 down-leaves-difference" in (failure.get("message") or "")
    assert "index public.users_email is left" in (failure.text or "")
    assert "Traceback" not in (failure.text or "")

    again = wrong.judge("--lf", "-q", cache=True)
    assert "1 failed" in again.text
    assert "passed" not in again.text
    assert [e["parts"] for e in again.document["history"]] == [{"rollback": "failed"}]


def test_x_stops_at_the_first_failure(wrong: Project) -> None:
    outcome = wrong.judge("-x", "-q")
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    assert "stopping after 1 failures" in outcome.text
    assert "age" not in {e["name"] for e in outcome.document["history"] if e["parts"]}


@pytest.mark.parametrize("dist", [["--dist", "loadgroup"], []], ids=["loadgroup", "load"])
def test_xdist_gives_the_same_verdicts(wrong: Project, dist: list[str]) -> None:
    outcome = wrong.judge("-q", "-n", "2", *dist)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    assert_clean(outcome)
    assert codes(outcome) == {("000002_nick.up.sql", "PMG402")}
    assert len(outcome.document["findings"]) == len(
        {json.dumps(f, sort_keys=True) for f in outcome.document["findings"]}
    )
    assert [e["name"] for e in outcome.document["history"]] == ["users", "nick", "age"]
    assert all(set(e["parts"]) == set(PARTS) for e in outcome.document["history"])
    assert f"1 failed, {3 * len(PARTS) - 1} passed" in outcome.text


def test_versions_run_in_numeric_order_whatever_their_padding(project: Project) -> None:
    project.then("1_users", "CREATE TABLE users (id int PRIMARY KEY);\n", "DROP TABLE users;\n")
    project.then("2_nick", ADD, DROP)
    project.then("10_note", "COMMENT ON COLUMN users.nick IS 'x';\n", "COMMENT ON COLUMN users.nick IS NULL;\n")
    outcome = project.judge("-q", "--pgmigrate-ignore=PMG104")
    assert [e["version"] for e in outcome.document["history"]] == ["1", "2", "10"]
    assert outcome.ret == pytest.ExitCode.OK, outcome.text


def test_textual_versions(project: Project) -> None:
    project.then("v001_users", "CREATE TABLE users (id int PRIMARY KEY);\n", "DROP TABLE users;\n")
    project.then("v002_nick", ADD, DROP)
    outcome = project.judge("-q")
    assert [e["version"] for e in outcome.document["history"]] == ["v001", "v002"]
    assert outcome.ret == pytest.ExitCode.OK, outcome.text


def test_a_failed_migration_is_undone_and_a_dependent_one_is_skipped(project: Project) -> None:
    project.users()
    project.then(NICK, ADD + "SELECT no_such_function();\n", DROP)
    project.then("000003_upper", "UPDATE users SET nick = upper(nick);\n", "UPDATE users SET nick = nick;\n")
    project.then(
        "000004_age", GIVE_WAY + "ALTER TABLE users ADD COLUMN age int;\n", "ALTER TABLE users DROP COLUMN age;\n"
    )
    outcome = project.judge("-rs")
    assert codes(outcome) == {("000002_nick.up.sql", "PMG201")}
    parts = {e["name"]: e["parts"] for e in outcome.document["history"]}
    assert parts["nick"]["apply"] == "failed"
    assert parts["upper"]["apply"] == "skipped"
    assert set(parts["age"].values()) == {"passed"}
    (reason,) = {n["reason"] for n in outcome.document["not_judged"] if n["migration"] == "000003_upper"}
    assert "000002_nick" in reason


def test_exit_codes_of_nothing_to_do(project: Project) -> None:
    assert project.judge().ret == pytest.ExitCode.NO_TESTS_COLLECTED
    project.write({"test_own.py": "def test_own():\n    pass\n"})
    outcome = project.judge("-q")
    assert outcome.ret == pytest.ExitCode.OK
    # Green, but never silently: even -q says that no migration was seen.
    assert "no folder of migrations found" in outcome.text
    assert project.judge("--pgmigrate-rows=x").ret == pytest.ExitCode.USAGE_ERROR


def on_a_terminal(project: Project, *arguments: str) -> str:
    """What a run writes to a terminal."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        project.command(*arguments),
        cwd=project.path,
        env=project.environment({"TERM": "xterm"}),
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
    ) as process:
        os.close(follower)
        chunks = []
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not chunk:
                break
            chunks.append(chunk)
        os.close(leader)
        process.wait(PATIENCE)
    return b"".join(chunks).decode("utf-8", "replace")


def test_progress_is_shown_on_a_terminal_only(two: Project) -> None:
    shown = on_a_terminal(two, "--pgmigrate", *EMBEDDED)
    assert "pgmigrate: starting PostgreSQL" in shown
    assert "pgmigrate: examining 000002_nick" in shown
    assert f"{2 * len(PARTS) + 1} passed" in shown
    # It leaves pytest's own lines alone: one for each file.
    assert shown.count("migrations/000002_nick.up.sql ") == 1
    piped = two.judge()
    assert "starting PostgreSQL" not in piped.text
    assert "examining" not in piped.text


def test_run_from_a_folder_below_rootdir(two: Project) -> None:
    outcome = two.judge("-q", "-k", "nick and apply", "--pgmigrate-path=../migrations", folder="tests")
    assert "2 passed" in outcome.text  # apply and reapply
    assert Path(outcome.document["history"][0]["file"]) == Path("migrations/000002_nick.up.sql")


@pytest.mark.parametrize(
    ("flag", "near"),
    [
        ("--pgmigrate-rowz=5", "--pgmigrate-rows"),
        ("--pgmigrate-engin", "--pgmigrate-engine"),
        ("--pgmigrat", "--pgmigrate"),
    ],
)
def test_a_mistyped_flag_is_told_the_nearest_one(pytester: pytest.Pytester, flag: str, near: str) -> None:
    outcome = pytester.runpytest_subprocess("-p", "no:faker", flag)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    name = flag.partition("=")[0]
    outcome.stderr.fnmatch_lines([f"ERROR: there is no option {name}; did you mean {near}[?]"])


def test_a_flag_that_is_like_none_of_ours_is_left_to_pytest(pytester: pytest.Pytester) -> None:
    outcome = pytester.runpytest_subprocess("-p", "no:faker", "--pgmigrate-zzz")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["*unrecognized arguments: --pgmigrate-zzz"])
