"""Migrations on a server that crashes in their middle, through whole runs with ``--pgmigrate-crash``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.histories import Outcome, run
from tests.acceptance.test_interrupt import CREATE, HISTORIES, MARKED
from tests.fix_cluster import docker_image, own_pair

# Row by row, so that their order is given.
NUMBERED = """DO $$ DECLARE o BIGINT; BEGIN
    FOR half IN 0..1 LOOP
        FOR o IN SELECT id FROM orders WHERE {where} id % 2 = half ORDER BY id LOOP
            UPDATE orders SET number = nextval('numbers') WHERE id = o;
        END LOOP;
        COMMIT;
    END LOOP;
END $$;"""
MORE = {
    # What lock_timeout leaves is cleared, what a crash in a later phase leaves is not.
    "half": (
        "DROP INDEX CONCURRENTLY IF EXISTS orders_pkey_ccnew;\nREINDEX INDEX CONCURRENTLY orders_pkey;",
        "SELECT 1;",
    ),
    "cleared": (
        "DROP INDEX CONCURRENTLY IF EXISTS orders_pkey_ccnew;\nDROP INDEX CONCURRENTLY IF EXISTS orders_pkey_ccold;\n"
        "REINDEX INDEX CONCURRENTLY orders_pkey;",
        "SELECT 1;",
    ),
    # A backup that does not survive, before what it was made for.
    "unlogged": (
        "CREATE UNLOGGED TABLE IF NOT EXISTS kept AS SELECT id, price FROM orders;\n"
        "ALTER TABLE orders DROP COLUMN IF EXISTS price;",
        "ALTER TABLE orders ADD COLUMN price NUMERIC(10, 2);\nUPDATE orders SET price = k.price FROM kept k WHERE"
        " k.id = orders.id;\nALTER TABLE orders ALTER COLUMN price SET NOT NULL;\nDROP TABLE kept;",
    ),
    "logged": (
        "CREATE TABLE IF NOT EXISTS kept AS SELECT id, price FROM orders;\n"
        "ALTER TABLE orders DROP COLUMN IF EXISTS price;",
        "ALTER TABLE orders ADD COLUMN price NUMERIC(10, 2);\nUPDATE orders SET price = k.price FROM kept k WHERE"
        " k.id = orders.id;\nALTER TABLE orders ALTER COLUMN price SET NOT NULL;\nDROP TABLE kept;",
    ),
    # A role belongs to the server: the copy that one crash used up is not taken for the next.
    "role": (
        "DO $$ BEGIN\n    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'crash_reader') THEN\n"
        "        CREATE ROLE crash_reader;\n    END IF;\nEND $$;\nGRANT SELECT ON orders TO crash_reader;\n"
        "DROP INDEX CONCURRENTLY IF EXISTS idx_email;\nCREATE INDEX CONCURRENTLY idx_email ON orders (email);",
        "DROP INDEX CONCURRENTLY idx_email;\nREVOKE SELECT ON orders FROM crash_reader;\nDROP ROLE crash_reader;",
    ),
    # Whole after its last commit: a second run of that is judged as such, by PMG204.
    "dropped": (
        "DROP INDEX CONCURRENTLY orders_email_price;",
        "CREATE INDEX CONCURRENTLY orders_email_price ON orders (email, price);",
    ),
    # Its first statement commits in its middle only where a replica is, and a copy has none.
    "elsewhere": (
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_stat_replication) THEN UPDATE orders SET email = email; COMMIT; END IF;"
        " END $$;\n" + MARKED.format(more=""),
        "DROP TABLE copies;",
    ),
    # Numbers drawn without a default: after a crash the sequence stands ahead of them.
    "numbered": (
        "CREATE SEQUENCE IF NOT EXISTS numbers;\nALTER TABLE orders ADD COLUMN IF NOT EXISTS number BIGINT;\n"
        "UPDATE orders SET number = nextval('numbers') WHERE id = (SELECT min(id) FROM orders WHERE number IS NULL);\n"
        + NUMBERED.format(where="number IS NULL AND"),
        "ALTER TABLE orders DROP COLUMN number;\nDROP SEQUENCE numbers;",
    ),
    # The first half gets other numbers when the server comes back, whatever the sequence says.
    "renumbered": (
        "CREATE SEQUENCE IF NOT EXISTS numbers;\nALTER TABLE orders ADD COLUMN IF NOT EXISTS number BIGINT;\n"
        "DO $$ BEGIN IF EXISTS (SELECT FROM orders WHERE number > 19) THEN RETURN; END IF; END $$;\n"
        + NUMBERED.format(where="(SELECT max(number) FROM orders) IS DISTINCT FROM 20 AND"),
        "ALTER TABLE orders DROP COLUMN number;\nDROP SEQUENCE numbers;",
    ),
    # Nothing is ever half done.
    "one": ("ALTER TABLE orders ADD COLUMN a INT;", "ALTER TABLE orders DROP COLUMN a;"),
    "unheld": (
        "SET synchronous_commit = off;\nDROP INDEX CONCURRENTLY IF EXISTS idx_email;\n"
        "CREATE INDEX CONCURRENTLY idx_email ON orders (email);",
        "DROP INDEX CONCURRENTLY idx_email;",
    ),
    # Its commits wait for no flush: still none is lost.
    "asynchronous": (
        "SET synchronous_commit = off;\nALTER TABLE orders ADD COLUMN IF NOT EXISTS a INT;\n"
        "ALTER TABLE orders ADD COLUMN IF NOT EXISTS b INT;",
        "ALTER TABLE orders DROP COLUMN a, DROP COLUMN b;",
    ),
}
SILENT = (
    "repaired", "careful", "once", "cleared", "logged", "role", "dropped", "one", "asynchronous", "unheld", "numbered"
)  # fmt: skip
LOUD = (
    "accepts", "rebuilt", "plain", "doubled", "by_path", "by_temporary", "elsewhere", "renumbered", "half", "unlogged"
)  # fmt: skip
SENT = "-- pgmigrate: no-transaction sent one by one\n"


def _run(project: Path, names: tuple[str, ...], *flags: str) -> Outcome:
    folders = {}
    for name in names:
        up, down = {**HISTORIES, **MORE}[name]
        folder = folders[name] = project / "source" / name
        folder.mkdir(parents=True)
        index = "CREATE INDEX orders_email_price ON orders (email, price);\n"
        (folder / "000001_create.up.sql").write_text(CREATE + index)
        (folder / "000001_create.down.sql").write_text("DROP TABLE orders;\n")
        (folder / "000002_change.up.sql").write_text(f"{SENT}{up}\n")
        (folder / "000002_change.down.sql").write_text(f"{SENT}{down}\n")
    return run(project, folders, "--pgmigrate-select=PMG203,PMG22,PMG304", *flags)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All histories in one run."""
    engine = f"--pgmigrate-engine={own_pair().name}"
    return _run(tmp_path_factory.mktemp("crash"), (*SILENT, *LOUD), engine, "--pgmigrate-crash")


def _found(outcome: Outcome, folder: str) -> list[dict[str, Any]]:
    return [f for f in outcome.document["findings"] if f["file"].startswith(f"{folder}/") and f["severity"] != "info"]


def _crashes(finding: dict[str, Any]) -> list[str]:
    """The crashes that a finding was seen after: ``after line 2``, ``at commit 1 of line 2``."""
    said = "by a crash of the server "
    return [cut.removeprefix(said) for cut in finding["observed"]["cuts"] if cut.startswith(said)]


def _not_tried(outcome: Outcome) -> list[str]:
    return [n["reason"] for n in outcome.document["not_judged"] if n["part"] == "interrupt"]


@pytest.mark.parametrize("name", SILENT)
def test_what_stands_a_crash_is_silent(outcome: Outcome, name: str) -> None:
    assert _found(outcome, name) == []
    assert outcome.parts(name)["000002_change.up.sql"]["interrupt"] == "passed"


def test_what_could_not_be_held_is_said_and_nothing_else_was_left_out(outcome: Outcome) -> None:
    said = "its commits could not be held: the migration sets synchronous_commit to off"
    elsewhere = "the statement was not held at commit 1: it has 0 here"
    assert sorted(_not_tried(outcome)) == [
        f"crash drill: elsewhere/000002_change.up.sql:2:1: {elsewhere}",
        *(f"crash drill: unheld/000002_change.up.sql:{line}:1: {said}" for line in (3, 4)),
    ]


@pytest.mark.parametrize(
    ("name", "code", "severity", "crashes"),
    [
        ("accepts", "PMG304", "warning", ["at commit 1 of line 2", "at commit 2 of line 2"]),
        ("rebuilt", "PMG221", "warning", [f"at commit {stop} of line 2" for stop in (1, 2, 3, 4)]),
        ("half", "PMG221", "warning", ["at commit 3 of line 3", "at commit 4 of line 3"]),
        ("plain", "PMG220", "warning", ["after line 2", "after line 3"]),
        ("doubled", "PMG222", "error", [f"at commit {stop} of line 3" for stop in (1, 2, 3)]),
        ("by_path", "PMG222", "error", [f"at commit {stop} of line 5" for stop in (1, 2, 3)]),
        ("by_temporary", "PMG222", "error", [f"at commit {stop} of line 4" for stop in (1, 2, 3)]),
        ("elsewhere", "PMG222", "error", [f"at commit {stop} of line 4" for stop in (1, 2, 3)]),
        ("renumbered", "PMG222", "error", ["at commit 1 of line 5"]),
        ("unlogged", "PMG222", "error", ["after line 2"]),
    ],
)
def test_a_finding_names_every_crash_it_was_seen_after(
    outcome: Outcome, name: str, code: str, severity: str, crashes: list[str]
) -> None:
    (found,) = _found(outcome, name)
    assert (found["code"], found["severity"], found["part"]) == (code, severity, "interrupt")
    assert _crashes(found) == crashes


def test_what_only_a_crash_shows(outcome: Outcome, tmp_path: Path) -> None:
    (half,), (unlogged,) = _found(outcome, "half"), _found(outcome, "unlogged")
    said = "cut short by a crash of the server at commit 3 of line 3 and run again, the up succeeds and leaves orders_pkey_ccold"
    assert half["message"] == said
    assert half["fix"] == "DROP INDEX CONCURRENTLY IF EXISTS orders_pkey_ccold"
    assert "public.kept" in unlogged["message"]
    without = _run(tmp_path, ("half", "unlogged"), f"--pgmigrate-engine={own_pair().name}")
    assert (_found(without, "half"), _found(without, "unlogged")) == ([], [])


def test_a_server_that_is_not_ours_is_not_crashed(tmp_path: Path, external_cluster: Any) -> None:
    node = external_cluster.primary
    flags = [
        f"--pgmigrate-dsn=postgresql://{node.user}:{node.password}@{node.host}:{node.port}/postgres?sslmode=disable"
    ]
    outcome = _run(tmp_path, ("accepts", "careful", "one"), *flags, "--pgmigrate-crash")
    said = "crash drill: engine external cannot be stopped: its server is not ours to crash"
    assert _not_tried(outcome) == [said] * 2
    assert said in outcome.text
    assert outcome.parts("careful")["000002_change.up.sql"]["interrupt"] == "passed"
    # Sessions of before still answer.
    assert external_cluster.lsn()


@pytest.mark.docker
def test_in_a_container(tmp_path: Path) -> None:
    flags = ("--pgmigrate-engine=docker", f"--pgmigrate-image={docker_image()}", "--pgmigrate-crash")
    outcome = _run(tmp_path, ("accepts", "repaired"), *flags)
    assert _not_tried(outcome) == []
    assert _found(outcome, "repaired") == []
    (found,) = _found(outcome, "accepts")
    assert _crashes(found) == ["at commit 1 of line 2", "at commit 2 of line 2"]
