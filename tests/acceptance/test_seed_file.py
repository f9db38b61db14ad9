"""Seed file, seed scripts and factories in whole runs: what helps, and what is said where they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import GIVE_WAY, Project, assert_clean
from tests.acceptance.histories import Outcome

EVENTS = "CREATE TABLE events (id int, at date NOT NULL, kind text) PARTITION BY RANGE (at);\n"
PARTITION = "CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');\n"
NOT_NULL = GIVE_WAY + "ALTER TABLE users ALTER phone SET NOT NULL;\n"


def said(outcome: Outcome) -> list[str]:
    """What stands under "not judged" about seeding."""
    entries = [
        e for e in outcome.document["not_judged"] if e["subject"] == "seeding" or e["subject"].startswith("table ")
    ]
    return [f"{e['subject']}: {e['reason']}" for e in entries]


def errors(outcome: Outcome) -> list[str]:
    """Codes of errors."""
    return [f["code"] for f in outcome.document["findings"] if f["severity"] == "error" and not f["ignored"]]


def events(project: Project) -> Project:
    """A partitioned table of which the application makes the partitions, and a migration that changes it."""
    project.then("000001_events", EVENTS, "DROP TABLE events;\n")
    return project.then(
        "000002_source", GIVE_WAY + "ALTER TABLE events ADD source text;\n", "ALTER TABLE events DROP source;\n"
    )


STRICT = ("--pgmigrate-strict", "--pgmigrate-ignore=PMG204,PMG331")


def test_an_empty_table_is_an_error_under_strict(project: Project) -> None:
    lenient = events(project).judge()
    assert lenient.ret == 0, lenient.text
    assert any("the partitioned table has no partition" in line for line in said(lenient))
    strict = project.judge(*STRICT)
    assert errors(strict) == ["PMG710"], strict.text
    assert strict.parts("migrations")["000002_source.up.sql"]["data"] == "failed"
    assert "CREATE TABLE partition_name PARTITION OF" in strict.text


def test_a_script_of_its_version_helps(project: Project) -> None:
    outcome = events(project).write({"migrations/seed/000001.before.sql": PARTITION}).judge(*STRICT)
    assert (outcome.ret, errors(outcome), said(outcome)) == (0, [], []), outcome.text


def test_a_script_runs_at_its_version_also_where_that_is_only_applied(project: Project) -> None:
    """Alone or with all others the migration meets the same rows: later the column has another name."""
    row = "INSERT INTO events (id, at, kind) VALUES (77, '2024-02-02', 'seen');\n"
    events(project).write({"migrations/seed/000001.before.sql": PARTITION + row})
    rename = GIVE_WAY + "ALTER TABLE events RENAME {} TO {};\n"
    project.then("000003_sort", rename.format("kind", "sort"), rename.format("sort", "kind"))
    project.then(
        "000004_seen",
        "DO $$BEGIN IF NOT EXISTS (SELECT FROM events WHERE sort = 'seen') THEN RAISE 'not seen'; END IF; END$$;\n",
        "SELECT 1;\n",
    )
    outcome = project.judge("--pgmigrate-select=PMG201,PMG710", "-k", "000004")
    assert (outcome.ret, errors(outcome), said(outcome)) == (0, [], []), outcome.text


def test_a_table_that_got_rows_by_a_migration_is_exercised(project: Project) -> None:
    events(project).then(
        "000003_rows",
        PARTITION + "INSERT INTO events SELECT g, '2024-02-02', 'x' FROM generate_series(1, 9) g;\n",
        "DROP TABLE events_2024;\n",
    ).then("000004_sort", GIVE_WAY + "ALTER TABLE events ADD sort text;\n", "ALTER TABLE events DROP sort;\n")
    outcome = project.judge(*STRICT, "--pgmigrate-select=PMG710")
    found = [Path(f["file"]).name for f in outcome.document["findings"] if f["code"] == "PMG710"]
    assert found == ["000002_source.up.sql", "000003_rows.up.sql"], outcome.text


def test_a_skipped_table_is_listed_and_no_error(project: Project) -> None:
    outcome = events(project).write({"pgmigrate-seed.toml": 'skip = ["events"]\n'}).judge(*STRICT)
    assert outcome.ret == 0, outcome.text
    assert said(outcome) == ["table public.events: 0 of 3 rows: skipped by pgmigrate-seed.toml"]


def phones(project: Project) -> Project:
    """A column that the application fills, as the next migration takes for granted."""
    project.then("000001_users", "CREATE TABLE users (id int PRIMARY KEY, phone text);\n", "DROP TABLE users;\n")
    return project.then("000002_phone", NOT_NULL, GIVE_WAY + "ALTER TABLE users ALTER phone DROP NOT NULL;\n")


def test_a_null_rate_is_seen_by_the_migration(project: Project) -> None:
    phones(project).write({"db-seed.toml": '[columns]\n"users.phone" = {null_rate = 1}\n'})
    outcome = project.judge("--pgmigrate-seed-file=db-seed.toml", "--pgmigrate-select=PMG201")
    assert errors(outcome) == ["PMG201"], outcome.text
    pinned = '[columns]\n"users.phone" = {null_rate = 1}\n[from."000001".columns]\n"users.phone" = {null_rate = 0}\n'
    outcome = project.write({"db-seed.toml": pinned}).judge(
        "--pgmigrate-seed-file=db-seed.toml", "--pgmigrate-select=PMG201"
    )
    assert errors(outcome) == [], outcome.text


def test_names_that_are_nowhere_are_said_once(project: Project) -> None:
    toml = '[columns]\n"users.emial" = ["x"]\n"users.source" = ["y"]\n[from."000099".columns]\n"users.email" = ["z"]\n'
    project.users().then("000002_source", GIVE_WAY + "ALTER TABLE users ADD source text;\n", None).write(
        {"pgmigrate-seed.toml": toml, "other/migrations/000001_a.up.sql": "CREATE TABLE a (id int);\n"}
    )
    outcome = project.judge("--pgmigrate-select=PMG2")
    assert said(outcome) == [
        "seeding: pgmigrate-seed.toml:2 names users.emial, which no version of the history has",
        "seeding: pgmigrate-seed.toml:5 names version 000099, which the history does not have",
    ], outcome.text
    part = project.judge("--pgmigrate-select=PMG2", "-m", "pgmigrate", "-k", "000001")
    assert "pgmigrate-seed.toml:2 names users.emial, which no version filled in this run has" in part.text


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[columns\n", "pgmigrate-seed.toml:1: this is no TOML"),
        (
            '\n[columns]\n"users.email" = "faker.emial"\n',
            "pgmigrate-seed.toml:3: users.email: Faker has no provider 'emial'",
        ),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_run(project: Project, toml: str, words: str) -> None:
    outcome = project.users().write({"pgmigrate-seed.toml": toml}).judge()
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    assert words in outcome.text
    assert_clean(outcome)


def test_what_fails_at_the_server_is_said_and_the_run_goes_on(project: Project) -> None:
    project.users().write(
        {
            "pgmigrate-seed.toml": '[columns]\n"users.email" = {sql = "nowhere(i)"}\n',
            "migrations/seed/000001.after.sql": "SELECT 1;\nINSERT INTO nowhere VALUES (1);\n",
        }
    ).then("000002_note", GIVE_WAY + "ALTER TABLE users ADD note text;\n", "ALTER TABLE users DROP note;\n")
    outcome = project.judge("--pgmigrate-select=PMG2,PMG4,PMG7")
    assert outcome.ret == 0, outcome.text
    lines = said(outcome)
    assert any("the SQL of public.users.email fails: 42883 function nowhere(bigint) does not exist" in s for s in lines)
    assert [s for s in lines if "000001.after.sql" in s] == [
        'seeding: migrations/seed/000001.after.sql:2: 42P01 relation "nowhere" does not exist; nothing of the file was kept'
    ]
    assert_clean(outcome)


CONFTEST = """
from pytest_pgmigrate import seeds

@seeds("users")
def users(context):
    for number in range(context.rows):
        yield {"email": f"{context.version}-{context.existing + number}@shop.example"}

@seeds("ordres")
def orders(context):
    yield {}

def pytest_pgmigrate_factories():
    return [users, orders]
"""


def test_factories_of_a_conftest(project: Project) -> None:
    check = (
        GIVE_WAY
        + "ALTER TABLE users ADD CONSTRAINT users_email CHECK (email LIKE '000001-%@shop.example') NOT VALID;\n"
        "ALTER TABLE users VALIDATE CONSTRAINT users_email;\n"
    )
    project.users().then("000002_email", check, "ALTER TABLE users DROP CONSTRAINT users_email;\n")
    quiet = (
        "--pgmigrate-select=PMG201,PMG701",
        "--pgmigrate-later-rows=0",
        "--pgmigrate-no-edge-rows",
        "--pgmigrate-strict",
    )
    assert errors(project.judge(*quiet)) == ["PMG701"], "our own addresses are others"
    outcome = project.write({"conftest.py": CONFTEST}).judge(*quiet)
    assert errors(outcome) == [], outcome.text
    (line,) = said(outcome)
    assert line.endswith("names ordres, which no version of the history has")
    assert Path("conftest.py").name in line


def test_a_function_without_the_decorator_ends_the_run(project: Project) -> None:
    conftest = "def orders(context):\n    yield {}\n\ndef pytest_pgmigrate_factories():\n    return [orders]\n"
    outcome = project.users().write({"conftest.py": conftest}).judge()
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    assert "pytest_pgmigrate_factories gives orders, which is no factory" in outcome.text
    assert_clean(outcome)


def test_a_plain_run_reads_no_seed_file(project: Project) -> None:
    outcome = (
        project.users().write({"pgmigrate-seed.toml": "[broken\n", "test_one.py": "def test_one(): pass\n"}).pytest()
    )
    assert outcome.ret == 0, outcome.text
