"""Bad and hostile input: a message in words, the right exit code, nothing left running, and the next migration is judged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import EMBEDDED, GIVE_WAY, Project, assert_clean, codes

NICK = ("000003_nick", GIVE_WAY + "ALTER TABLE users ADD COLUMN nick text;\n", "ALTER TABLE users DROP COLUMN nick;\n")
BACK = "SELECT 1;\n"


def as_owner(statement: str) -> str:
    """A statement about the role that runs the migration, whatever its name."""
    return f"DO $$ BEGIN EXECUTE format('{statement}', current_user); END $$;\n"


# What the second migration does, and the code that it gets; "" where no verdict about it is possible.
HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "drop_database": ("DROP DATABASE postgres;\n", "PMG201"),
    "broken_sql": ("CREATE TABEL t (id int);\n", "PMG201"),
    "unclosed": ("CREATE TABLE t (id int;\n", "PMG110"),
    "no_superuser": (as_owner("ALTER ROLE %I NOSUPERUSER"), "PMG201"),
    "meta_command": ("\\c postgres\nSELECT 1;\n", "PMG110"),
    "ends_its_session": ("SELECT pg_terminate_backend(pg_backend_pid());\n", "PMG201"),
    "tablespace": ("CREATE TABLESPACE ts LOCATION '/nowhere';\n", "PMG201"),
    "role_left": ("CREATE ROLE pgmigrate_test_role;\n", "PMG402"),
    "own_lock": ("BEGIN; LOCK TABLE users;\n", "PMG206"),
    "binary": (b"\x00\x01\xff\xfe", "PMG107"),
    "sleeps": ("SELECT pg_sleep(600);\n", "PMG201"),
    "ends_all_others": ("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid();\n", ""),
    "shuts_us_out": (as_owner("ALTER ROLE %I NOLOGIN"), ""),
    "kills_the_server": ("COPY (SELECT 1) TO PROGRAM 'kill -9 $(head -1 postmaster.pid)';\n", ""),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_one_fault_never_spoils_the_next_migration(project: Project, kind: str) -> None:
    up, code = HOSTILE[kind]
    project.users().then(f"000002_{kind}", up, BACK).then(*NICK)
    outcome = project.judge("-q", "--pgmigrate-statement-timeout=2")

    assert_clean(outcome)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED, outcome.text
    file = f"000002_{kind}.up.sql"
    if code:
        assert (file, code) in codes(outcome), outcome.text
    else:
        # Nothing can be said about it; its first part says so, once, and the summary counts it.
        assert outcome.text.count("FAILED ") == 1, outcome.text
        assert f"FAILED migrations/{file}::apply - migrations/{file} could not be examined" in outcome.text
        assert "2 migrations judged, 1 could not be examined" in outcome.text
        assert [n["migration"] for n in outcome.document["not_judged"] if n["subject"] == "examination"] == [file[:-7]]
    parts = {e["name"]: e["parts"] for e in outcome.document["history"]}
    assert set(parts["nick"].values()) == {"passed"}, outcome.text
    assert {name for name, _ in codes(outcome)} <= {file, file.replace(".up.", ".down.")}


def test_drop_schema_public_is_that_migrations_fault(project: Project) -> None:
    project.users().then("000002_drop", GIVE_WAY + "DROP SCHEMA public CASCADE;\n", BACK)
    outcome = project.judge("-q")
    assert_clean(outcome)
    assert {code for _, code in codes(outcome)} == {"PMG323", "PMG402"}


@pytest.mark.parametrize("rows", [0, 3])
def test_a_migration_that_drops_our_ledger_is_examined_all_the_same(project: Project, rows: int) -> None:
    project.users().then("000002_drop", "DROP SCHEMA IF EXISTS pgmigrate CASCADE;\n", BACK).then(*NICK)
    outcome = project.judge("-q", f"--pgmigrate-rows={rows}")
    assert_clean(outcome)
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    assert codes(outcome) == set()
    assert "3 migrations judged: no errors, no warnings" in outcome.text
    assert all(set(e["parts"].values()) == {"passed"} for e in outcome.document["history"]), outcome.text


def test_server_settings_do_not_reach_the_next_migration(project: Project) -> None:
    project.users().then("000002_system", "ALTER SYSTEM SET work_mem = '64MB';\n", "ALTER SYSTEM RESET work_mem;\n")
    look = (
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_file_settings WHERE name = 'work_mem' AND setting = '64MB')"
        " THEN RAISE 'reached'; END IF; END $$;\n"
    )
    outcome = project.then("000003_look", look, BACK).judge("-q")
    assert outcome.ret == pytest.ExitCode.OK, outcome.text


def test_two_histories_with_the_same_role(project: Project) -> None:
    for folder in ("a/migrations", "b/migrations"):
        project.then("000001_role", "CREATE ROLE app_reader;\n", "DROP ROLE app_reader;\n", folder)
    outcome = project.judge("-q")
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    assert len(outcome.document["history"]) == 2


def test_missing_down_and_empty_folder(project: Project) -> None:
    project.then("000001_a", "CREATE TABLE a (id int PRIMARY KEY);\n", None)
    outcome = project.judge("-q")
    assert codes(outcome) == {("000001_a.up.sql", "PMG101")}
    assert_clean(outcome)
    (project.path / "empty").mkdir()
    empty = project.judge("--pgmigrate-path=empty")
    assert empty.ret == pytest.ExitCode.USAGE_ERROR
    assert "empty holds no migrations of a known format: it is empty" in empty.text
    missing = project.judge("--pgmigrate-path=nowhere")
    assert missing.ret == pytest.ExitCode.USAGE_ERROR
    assert "the folder nowhere does not exist" in missing.text


def test_unreadable_file(project: Project) -> None:
    project.users()
    up = project.path / "migrations/000001_users.up.sql"
    up.chmod(0)
    if os.access(up, os.R_OK):
        pytest.skip("root reads files of any mode; run the tests as an ordinary user")
    outcome = project.judge("-q")
    assert_clean(outcome)
    assert ("000001_users.up.sql", "PMG107") in codes(outcome)


STRAY = "CREATE TABLE (;\n\\connect shop\n"  # nobody applies it, so nothing is said of its SQL
MEANT = "-- pgmigrate: ignore-file[PMG109] a dump for the new developers\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (STRAY, {"PMG109"}),
        (MEANT + STRAY, set()),
        (MEANT.replace("PMG109", "unknown-file-name") + STRAY, set()),
        (MEANT.replace("PMG109", "PMG101") + STRAY, {"PMG109"}),
        (MEANT.split("]")[0] + "]\n" + STRAY, {"PMG109", "PMG902"}),
    ],
    ids=["without", "by code", "by slug", "another code", "no reason"],
)
def test_a_stray_file_can_say_that_it_is_meant_to_stay(project: Project, text: str, expected: set[str]) -> None:
    outcome = project.users().write({"migrations/schema.sql": text}).judge("-q", "--pgmigrate-strict", "-k", "history")
    assert_clean(outcome)
    assert codes(outcome) == {("schema.sql", code) for code in expected}, outcome.text
    assert outcome.ret == (pytest.ExitCode.TESTS_FAILED if expected else pytest.ExitCode.OK)
    assert ("a dump for the new developers" in outcome.text) == (not expected), outcome.text


def link(path: Path) -> None:
    path.symlink_to("moved/away.sql")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (link, "is a symbolic link to moved/away.sql, which does not exist"),
        (loop, "cannot be read"),
        (Path.mkdir, "is a directory"),
        (os.mkfifo, "is not a regular file"),
    ],
    ids=["link to nowhere", "link to itself", "directory", "pipe"],
)
def test_what_is_no_file_is_not_passed_over(project: Project, make: Callable[[Path], object], words: str) -> None:
    project.users().then("000002_note", "ALTER TABLE users ADD COLUMN note text;\n", BACK).then(*NICK)
    up = project.path / "migrations/000002_note.up.sql"
    up.unlink()
    make(up)
    outcome = project.judge("-q")
    assert_clean(outcome)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED, outcome.text
    assert codes(outcome) == {("000002_note.up.sql", "PMG107")}
    assert words in outcome.text
    parts = {e["name"]: e["parts"] for e in outcome.document["history"]}
    assert (parts["note"]["history"], parts["note"]["apply"]) == ("failed", "skipped")
    assert set(parts["nick"].values()) == {"passed"}, outcome.text
    # Who passes it over on purpose still can.
    ignored = project.judge("-q", "--co", f"--ignore={up}")
    assert "000002_note" not in ignored.text
    assert "000003_nick" in ignored.text


DEAD_DOCKER = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        (["--pgmigrate-engine=docker"], DEAD_DOCKER, "engine docker: no Docker engine answers"),
        (["--pgmigrate-engine=embedded", "--pgmigrate-pg-version=14"], {}, "no PostgreSQL 14"),
        (["--pgmigrate-dsn=nonsense"], {}, "the DSN cannot be used"),
        (["--pgmigrate-dsn=postgresql://u:s3cr3t@127.0.0.1:1/x"], {}, "the DSN cannot be used"),
        (["--pgmigrate-engine=external"], {}, "no DSN was given"),
    ],
    ids=["docker", "version", "no dsn", "dsn", "external"],
)
def test_no_server_to_be_had_is_said_once(
    project: Project, flags: list[str], environment: dict[str, str], message: str
) -> None:
    project.users().then(*NICK).write({"test_own.py": "def test_own():\n    pass\n"})
    outcome = project.pytest("--pgmigrate", *flags, environment=environment)
    assert_clean(outcome)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    assert message in outcome.text
    assert outcome.text.count("FAILED ") == 1, outcome.text  # one cause, one failure; the rest is skipped
    assert "0 migrations judged, 2 could not be examined" in outcome.text
    assert "s3cr3t" not in outcome.text
    assert "test_own.py ." in outcome.text


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--pgmigrate-engine=nonsense", "no engine is called 'nonsense'"),
        ("--pgmigrate-pg-version=12", "--pgmigrate-pg-version accepts 14 to 18, not 12"),
        ("--pgmigrate-statement-timeout=-1", "accepts 0 or more"),
    ],
)
def test_an_impossible_setting_is_a_usage_error(project: Project, flag: str, message: str) -> None:
    outcome = project.users().pytest("--pgmigrate", flag)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    assert message in outcome.text
    assert_clean(outcome)


def test_a_file_deleted_while_pytest_runs(project: Project) -> None:
    project.users().then(*NICK)
    hook = (
        "import shutil, pathlib\n"
        "def pytest_runtestloop(session):\n"
        f"    shutil.rmtree(pathlib.Path({str(project.path)!r}) / 'migrations')\n"
    )
    outcome = project.write({"conftest.py": hook}).judge("-q")
    assert_clean(outcome)
    # The files were read at collection: what was read is what is judged.
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    assert not Path(project.path / "migrations").exists()


def test_embedded_needs_nothing_of_path(project: Project) -> None:
    outcome = project.users().pytest("--pgmigrate", *EMBEDDED, "-q", environment={"PATH": ""})
    assert_clean(outcome)
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
