"""Scripts that run when tables are filled: once for their version, those without a version each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pgmigrate.discovery import is_history
from pytest_pgmigrate.discovery.folders import find_folders, load_history
from pytest_pgmigrate.discovery.seed_scripts import find_seed_scripts
from pytest_pgmigrate.registry import load_formats
from pytest_pgmigrate.seeding import FakeSeeder, scripts
from pytest_pgmigrate.seeding.hooks import Wanted
from tests.seeding.conftest import Connection, Make
from tests.seeding.helpers import column, count

OURS = ("pgmigrate",)
VERSIONS = ("000001", "000002", "000003")
PARTED = "CREATE SCHEMA pgmigrate; CREATE TABLE events (id int, at date NOT NULL) PARTITION BY RANGE (at)"
PARTITION = "CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');\n"


def seeder(root: Path, **files: str) -> FakeSeeder:
    """A seeder with scripts, given by file name without its suffix, dots written as underscores."""
    folder = root / "migrations" / "seed"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name.lstrip('v').replace('_', '.')}.sql").write_text(text, encoding="utf-8")
    return FakeSeeder(1, 5, Wanted(scripts=find_seed_scripts(root / "migrations", root), versions=VERSIONS))


def fill(connection: Connection, one: FakeSeeder, version: str) -> dict[str, str]:
    """Fill the database at this version; status by table."""
    one.at(version)
    return {report.table: report.status for report in one.fill(connection, exclude_schemas=OURS)}


def test_a_partition_is_made_before_the_tables_are_filled(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(server, PARTED)
    one = seeder(tmp_path, v000002_before=PARTITION)
    assert fill(connection, one, "000001") == {"public.events": "empty"}
    assert fill(connection, one, "000002") == {"public.events": "full"}
    assert count(connection, "events") == 5
    assert one.notes() == ()


def test_a_version_runs_once_a_database_and_a_clone_knows(make: Make, server: str, tmp_path: Path) -> None:
    ddl = "CREATE SCHEMA pgmigrate; CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE log (what text);"
    connection = make(server, ddl)
    log = "INSERT INTO log VALUES ('{}');"
    texts = {
        "before": log.format("always before"),
        "v000001_before": log.format("1 before"),
        "v000002_before": log.format("2 before"),
        "v000002_after": "INSERT INTO log SELECT '2 after ' || count(*) FROM a;",
        "after": log.format("always after"),
    }
    fill(connection, seeder(tmp_path, **texts), "000002")
    ran = ["always before", "1 before", "2 before", "2 after 5", "always after"]
    assert column(connection, "log", "what") == ran
    again = seeder(tmp_path)
    fill(connection, again, "000002")
    again.write_more(connection, exclude_schemas=OURS, rows=0)
    assert column(connection, "log", "what") == ran + 2 * ["always before", "always after"]


def test_settings_hold_while_tables_are_filled_and_no_longer(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(
        server,
        "CREATE SCHEMA pgmigrate; CREATE TABLE a (id int PRIMARY KEY, tenant text);"
        "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN NEW.tenant := current_setting('app.tenant'); RETURN NEW; END$$;"
        "CREATE TRIGGER own BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION own()",
    )
    one = seeder(
        tmp_path, before="SET app.tenant = 'acme'; SET search_path = nowhere; SET ROLE pg_monitor; RESET ROLE;"
    )
    assert fill(connection, one, "000001") == {"public.a": "full"}
    one.write_more(connection, exclude_schemas=OURS, rows=2)
    assert column(connection, "a", "tenant") == 7 * ["acme"]
    assert connection.execute("SHOW search_path").fetchone() != ("nowhere",)
    assert connection.execute("SELECT coalesce(current_setting('app.tenant', true), '')").fetchone() == ("",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "INSERT INTO a VALUES (1);\n\nINSERT INTO nowhere VALUES (1);\n",
            ':3: 42P01 relation "nowhere" does not exist',
        ),
        ("INSERT INTO a VALUES (1);\nINSERT INTO a VALUES (1);\n", ":2: 23505 duplicate key"),
        ("INSERT INTO b VALUES (9);\n", "000001.before.sql: 23503 insert or update"),
        ("INSERT INTO a VALUES (1", ":1: unclosed parenthesis"),
        ("\\set x 1\n", ":1: psql meta-command"),
        ("COPY a FROM STDIN;\n", "000001.before.sql:1: "),
        ("SELECT 1;\nVACUUM a;\n", ":2: 25001 VACUUM cannot run inside a transaction block"),
    ],
)
def test_a_script_that_fails_is_said_and_the_rest_goes_on(
    make: Make, server: str, tmp_path: Path, text: str, said: str
) -> None:
    connection = make(
        server,
        "CREATE SCHEMA pgmigrate; CREATE TABLE a (id int PRIMARY KEY);"
        "CREATE TABLE b (id int REFERENCES a DEFERRABLE INITIALLY DEFERRED)",
    )
    one = seeder(tmp_path, v000001_before=text)
    assert fill(connection, one, "000001") == {"public.a": "full", "public.b": "full"}
    fill(connection, one, "000001")
    (note,) = one.notes()
    assert note.startswith("migrations/seed/000001.before.sql")
    assert said in note
    assert count(connection, "a") == 5, "nothing of the file was kept"


def test_a_script_that_never_ends_is_stopped(
    make: Make, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "TIMEOUT", "100ms")
    connection = make(server, "CREATE SCHEMA pgmigrate; CREATE TABLE a (id int PRIMARY KEY)")
    one = seeder(tmp_path, v000001_before="SELECT pg_sleep(3);")
    assert fill(connection, one, "000001") == {"public.a": "full"}
    assert "57014 canceling statement due to statement timeout" in one.notes()[0]


def test_a_script_may_end_its_own_transaction(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(server, "CREATE SCHEMA pgmigrate; CREATE TABLE a (id int PRIMARY KEY)")
    one = seeder(tmp_path, v000001_after="BEGIN; INSERT INTO a VALUES (77); COMMIT; INSERT INTO a VALUES (78);")
    fill(connection, one, "000001")
    assert {77, 78} <= set(column(connection, "a", "id"))


def test_a_script_for_no_version_is_said(tmp_path: Path) -> None:
    one = seeder(tmp_path, v000009_before="SELECT 1;")
    assert one.notes() == ("migrations/seed/000009.before.sql is for version 000009, which the history does not have",)


def test_scripts_are_no_migrations(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    seeder(tmp_path, v000001_before="SELECT 1;", after="SELECT 2;")
    (folder / "000001_a.up.sql").write_text("CREATE TABLE a (id int);")
    assert find_folders(tmp_path) == [folder]
    assert not is_history(folder / "seed", load_formats())
    history = load_history(folder, tmp_path)
    assert [entry.file for entry in history.files] == ["migrations/000001_a.up.sql"]
    assert history.orphans == ()


def test_scripts_may_lie_beside_the_folder(tmp_path: Path) -> None:
    for place in ("db/seed", "db/migrations/seed"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "db/seed/v2.before.sql").write_text("SELECT 1;")
    (tmp_path / "db/seed/users.sql").write_text("no business of ours")
    (tmp_path / "db/migrations/seed/10.after.sql").write_text("SELECT 1;")
    found = [
        (one.version, one.when, one.script.file) for one in find_seed_scripts(tmp_path / "db/migrations", tmp_path)
    ]
    assert found == [("v2", "before", "db/seed/v2.before.sql"), ("10", "after", "db/migrations/seed/10.after.sql")]
