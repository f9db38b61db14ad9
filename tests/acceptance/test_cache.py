"""What earlier migrations left is kept between runs: the same verdicts with it and without, and never a wrong one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_pgmigrate.engines.embedded import ENGINE as EMBEDDED_ENGINE
from pytest_pgmigrate.engines.local import ENGINE as LOCAL
from pytest_pgmigrate.model.cluster import Want
from tests.acceptance.conftest import EMBEDDED, GIVE_WAY, Project, assert_clean
from tests.acceptance.histories import FIXTURES, Outcome
from tests.engines.leftovers import until_none

ORDERS_UP = (
    "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id bigint NOT NULL REFERENCES users,"
    " note text);\n"
)
ORDERS_DOWN = "DROP TABLE orders;\n"
# Its down loses what is in the column: a finding with rows in it, which have to be the same ones.
NOTE_UP = GIVE_WAY + "ALTER TABLE orders DROP COLUMN note;\n"
NOTE_DOWN = GIVE_WAY + "ALTER TABLE orders ADD COLUMN note text;\n"
LAST = ("-k", "000003")


@pytest.fixture
def shop(project: Project) -> Project:
    """Three migrations, of which the last is judged."""
    project.users().then("000002_orders", ORDERS_UP, ORDERS_DOWN)
    return project.then("000003_drop_note", NOTE_UP, NOTE_DOWN)


def judge(project: Project, *args: str, cache: str = "cache") -> Outcome:
    """A run with a cache of the project's own."""
    outcome = project.judge("-q", *args, environment={"PGMIGRATE_CACHE_DIR": str(project.path / cache)})
    assert_clean(outcome)
    return outcome


def entries(project: Project) -> list[Path]:
    return list((project.path / "cache").rglob("filled-*"))


def from_cache(outcome: Outcome) -> list[str] | None:
    found: list[str] | None = outcome.document["seeding"]["from_cache"]
    return found


def said(outcome: Outcome) -> dict[str, Any]:
    """All that a run says of the migrations, without what is measured in seconds or bytes."""
    document = json.loads(json.dumps(outcome.document), object_hook=_timeless)
    return {key: document[key] for key in ("history", "findings", "not_judged", "engine", "postgresql")}


def _timeless(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in ("seconds", "replica_seconds", "wal_bytes")}


@pytest.mark.parametrize("engine", [EMBEDDED_ENGINE, LOCAL], ids=["embedded", "local"])
@pytest.mark.parametrize("chosen", ["000018", "000029"])
def test_verdicts_are_the_same_cold_warm_and_without(project: Project, engine: Any, chosen: str) -> None:
    if not engine.probe(Want()).usable:
        pytest.skip(f"no {engine.name} engine")
    shutil.copytree(FIXTURES / "ecommerce" / "repaired", project.path / "migrations")
    flags = (f"--pgmigrate-engine={engine.name}", "--pgmigrate-rows=20", "-k", f"{chosen} or 000030")
    without = judge(project, *flags, "--pgmigrate-no-cache")
    assert entries(project) == []
    cold, warm = judge(project, *flags), judge(project, *flags)
    last = f"{int(chosen) - 1:06}"
    assert [from_cache(run) for run in (without, cold, warm)] == [None, None, ["000001", last]]
    assert f"from the cache: 000001\u2013{last} applied and filled" in warm.text
    assert "from the cache" not in cold.text
    assert len(without.document["history"]) == 2
    assert without.ret == cold.ret == warm.ret
    assert said(without) == said(cold) == said(warm)


@pytest.mark.parametrize("rows", ["7", "0"])
def test_findings_show_the_same_rows(shop: Project, rows: str) -> None:
    flags = (*LAST, f"--pgmigrate-rows={rows}")
    without = judge(shop, *flags, "--pgmigrate-no-cache")
    cold, warm = judge(shop, *flags), judge(shop, *flags)
    assert (from_cache(cold), from_cache(warm)) == (None, ["000001", "000002"])
    assert bool([f for f in without.document["findings"] if f["code"] == "PMG403"]) is (rows != "0")
    assert said(without) == said(cold) == said(warm)


def test_tables_that_could_not_be_filled_are_said_again(shop: Project) -> None:
    shop.then("000002_orders", ORDERS_UP + "CREATE TABLE parts (i int) PARTITION BY RANGE (i);\n", "SELECT 1;\n")
    cold, warm = judge(shop, *LAST), judge(shop, *LAST)
    assert from_cache(warm) is not None
    assert any("parts" in entry["subject"] for entry in warm.document["not_judged"])
    assert said(cold) == said(warm)


def test_what_comes_before_counts_and_nothing_else(shop: Project) -> None:
    judge(shop, *LAST)
    # The migration itself and its own down may change as often as they like.
    shop.then("000003_drop_note", NOTE_UP + "-- better\n", NOTE_DOWN)
    assert from_cache(judge(shop, *LAST, "--pgmigrate-strict")) == ["000001", "000002"]
    assert from_cache(judge(shop, *LAST, "--pgmigrate-seed=5")) is None
    shop.then("000002_orders", ORDERS_UP.replace("note text", "note varchar(9)"), ORDERS_DOWN)
    edited = judge(shop, *LAST)
    assert from_cache(edited) is None
    assert said(edited) == said(judge(shop, *LAST))
    # Another selection has another state, and a whole run none at all.
    assert from_cache(judge(shop, "-k", "000002")) is None
    assert len(entries(shop)) == 4
    assert from_cache(judge(shop)) is None
    assert len(entries(shop)) == 4


def test_a_bound_of_nothing_keeps_nothing(shop: Project) -> None:
    for flag in ("--pgmigrate-cache-size=0", "--pgmigrate-cache-size=1"):
        assert from_cache(judge(shop, *LAST, flag)) is None
        assert entries(shop) == [], flag


@pytest.mark.parametrize(
    "broken", ["CREATE TABLE gone (i nope);\n", "CREATE TABLE 'open;\n", "CREATE UNLOGGED TABLE u (i int);\n"]
)
def test_a_state_that_cannot_be_kept_is_brought_about_each_time(shop: Project, broken: str) -> None:
    shop.then("000002_zzz", broken, "SELECT 1;\n")
    runs = [judge(shop, "-k", "000003"), judge(shop, "-k", "000003")]
    assert [from_cache(run) for run in runs] == [None, None]
    assert entries(shop) == []
    assert said(runs[0]) == said(runs[1])


def test_several_histories_share_a_server_and_keep_nothing(shop: Project) -> None:
    shop.users("other")
    for _ in range(2):
        run = judge(shop, "--pgmigrate-path=migrations", "--pgmigrate-path=other", *LAST)
        assert (from_cache(run), len(run.document["history"])) == (None, 1)
    assert entries(shop) == []


def test_a_damaged_entry_is_not_believed(shop: Project) -> None:
    cold = judge(shop, *LAST)
    (entry,) = entries(shop)
    with open(entry, "r+b") as file:
        file.seek(entry.stat().st_size // 2)
        file.write(b"damage")
    damaged = judge(shop, *LAST)
    assert from_cache(damaged) is None
    assert from_cache(judge(shop, *LAST)) is not None
    assert said(damaged) == said(cold)


def test_a_lost_server_is_made_up_for(shop: Project) -> None:
    """The first judged migration ends the server: the next one starts on a new one, with the earlier ones applied."""
    shop.then("000003_drop_note", "COPY (SELECT 1) TO PROGRAM 'kill -QUIT $PPID; sleep 5';\n", "SELECT 1;\n")
    shop.then("000004_later", "CREATE TABLE later (i int REFERENCES orders);\n", "DROP TABLE later;\n")
    flags = ("-k", "000003 or 000004")
    cold, warm = judge(shop, *flags), judge(shop, *flags)
    assert (from_cache(cold), from_cache(warm)) == (None, ["000001", "000002"])
    for run in (cold, warm):
        assert run.parts("migrations")["000004_later.up.sql"]["rollback"] == "passed", run.text


SEEDER = """
from pytest_pgmigrate.seeding import FakeSeeder

class Mine(FakeSeeder):
    {body}

def pytest_pgmigrate_make_seeder(settings):
    return Mine(settings.seed, settings.rows)
"""


def test_a_seeder_of_ones_own_says_what_its_rows_follow_from(shop: Project) -> None:
    shop.write({"conftest.py": SEEDER.format(body="pass")})
    judge(shop, *LAST)
    assert entries(shop) == []
    for value, number in (("one", 1), ("another", 2)):  # of another length: bytecode goes by seconds and size
        shop.write({"conftest.py": SEEDER.format(body=f"fingerprint = '{value}'")})
        assert from_cache(judge(shop, *LAST)) is None
        assert len(entries(shop)) == number
    assert from_cache(judge(shop, *LAST)) is not None


def begin(project: Project, number: int, *args: str) -> subprocess.Popen[str]:
    flags = ["--pgmigrate", *EMBEDDED, "-q", f"--pgmigrate-report=json:{number}.json", *LAST, *args]
    return subprocess.Popen(
        project.command(*flags),
        cwd=project.path,
        env=project.environment({"PGMIGRATE_CACHE_DIR": str(project.path / "cache")}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def together(project: Project) -> list[dict[str, Any]]:
    """What two runs say that go on at the same time."""
    for process in [begin(project, number) for number in (1, 2)]:
        output, _ = process.communicate(timeout=180)
        assert process.returncode == pytest.ExitCode.TESTS_FAILED, output
        assert "Traceback" not in output
    documents = [json.loads((project.path / f"{number}.json").read_text()) for number in (1, 2)]
    return [said(Outcome(subprocess.CompletedProcess([], 0, "", ""), document)) for document in documents]


def test_two_runs_at_once(shop: Project) -> None:
    alone = said(judge(shop, *LAST, "--pgmigrate-no-cache"))
    assert together(shop) == [alone, alone]
    assert len(entries(shop)) == 1
    assert from_cache(judge(shop, *LAST)) is not None
    assert together(shop) == [alone, alone]


def test_killed_while_writing(shop: Project) -> None:
    judge(shop, *LAST, "--pgmigrate-no-cache")  # so that the template is there
    caught = 0
    for number in range(1, 20):
        process = begin(shop, number, f"--pgmigrate-seed={number}", "--pgmigrate-rows=3000")
        partials: list[Path] = []
        while process.poll() is None and not partials:
            partials = list((shop.path / "cache").rglob("filled-*.partial"))
            time.sleep(0.0005)
        before = {path.name for path in entries(shop) if not path.suffix}
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        name = partials[0].name.removesuffix(".partial") if partials else ""
        if not name or name in before or (partials[0].parent / name).exists():
            continue  # it was quicker than we
        caught += 1
        run = judge(shop, *LAST, f"--pgmigrate-seed={number}", "--pgmigrate-rows=3000")
        assert from_cache(run) is None
        assert [path for path in entries(shop) if path.suffix] == []
        break
    assert caught
    assert until_none(shop.left) == []
