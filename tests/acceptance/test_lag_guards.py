"""Guards against replica lag, tried beside a standby that is behind: those that stop, those that cannot, those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.histories import Outcome, run
from tests.fix_cluster import own_pair

ORDERS = "CREATE TABLE orders (id bigint PRIMARY KEY, total integer NOT NULL);\n"
COLUMN = "ALTER TABLE orders ADD COLUMN note text;\n"
VIEW = "EXISTS (SELECT FROM pg_stat_replication WHERE replay_lag > interval '10 s')"
BYTES = "(SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) FROM pg_stat_replication)"
STOP = "RAISE EXCEPTION 'a standby is behind';"


def guard(condition: str, then: str = STOP) -> str:
    return f"DO $$ BEGIN IF {condition} THEN {then} END IF; END $$;\n"


NULL = guard("now() - pg_last_xact_replay_timestamp() > interval '10 s'")
CALLED = f"""CREATE FUNCTION is_behind() RETURNS boolean LANGUAGE sql AS $f$
    -- pg_last_xact_replay_timestamp() would be NULL here
    SELECT {VIEW} $f$;
CREATE FUNCTION stop_if_behind() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN IF is_behind() THEN {STOP} END IF; END $f$;
SELECT stop_if_behind();
"""
USELESS = f"""CREATE FUNCTION check_lag() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN
    IF now() - pg_last_xact_replay_timestamp() > interval '1 s' THEN {STOP} END IF; END $f$;
"""

STOPPING = {
    "time": guard(VIEW),
    "bytes": guard(f"{BYTES} > 1000000000"),
    "called": CALLED,
    "waiting": f"DO $$ BEGIN WHILE {VIEW} LOOP PERFORM pg_sleep(0.5); END LOOP; END $$;\n",
    "waiting on and on": "SET LOCAL statement_timeout = '10min';\n"
    f"DO $$ BEGIN WHILE {VIEW} LOOP PERFORM pg_sleep(0.5); END LOOP; END $$;\n",
    "in a query": CALLED.replace(
        "SELECT stop_if_behind();", "INSERT INTO orders (id, total) SELECT 777, 1 FROM stop_if_behind() s;"
    ),
    "both": guard(f"{VIEW} OR now() - pg_last_xact_replay_timestamp() > interval '10 s'"),
    "threshold": guard(f"{BYTES} > coalesce(current_setting('app.max_lag_bytes', true), '9000000000000000')::numeric"),
}
NEVER = {
    "null": (NULL, 1),
    "coalesced": (guard("coalesce(now() - pg_last_xact_replay_timestamp(), '0') > interval '10 s'"), 1),
    "positions": (guard("pg_wal_lsn_diff(pg_current_wal_lsn(), pg_last_wal_replay_lsn()) > 1000"), 1),
    "on the standby": (
        guard("pg_is_in_recovery() AND now() - pg_last_xact_replay_timestamp() > interval '10 s'"),
        1,
    ),
    "function": (f"{USELESS}SELECT check_lag();\n", 2),
}
PASSING = {
    "warns": guard(VIEW, "RAISE WARNING 'a standby is behind';"),
    "reversed": guard("EXISTS (SELECT FROM pg_stat_replication WHERE replay_lag < interval '-10 s')"),
    "swallowed": f"DO $$ BEGIN IF {VIEW} THEN {STOP} END IF; EXCEPTION WHEN OTHERS THEN NULL; END $$;\n",
}
SILENT = {
    "noted": "CREATE TABLE lags AS SELECT pg_last_xact_replay_timestamp() AS at;\n",
    "defined": f"{USELESS}",
    "commented": "-- SELECT pg_last_xact_replay_timestamp();\nDO $$ BEGIN IF 1 > 2 THEN RAISE EXCEPTION 'no'; END IF; END $$;\n",
}
UNTOLD = {
    "qualified": guard(VIEW.replace("pg_stat", "pg_catalog.pg_stat")),
    "another": guard("EXISTS (SELECT FROM pg_stat_replication WHERE application_name = 'eu' AND replay_lag > '10 s')"),
}


def text_of(name: str) -> str:
    never = {key: text for key, (text, _) in NEVER.items()}
    return {**STOPPING, **never, **PASSING, **SILENT, **UNTOLD}[name] + COLUMN


def judged(project: Path, names: list[str], *flags: str, more: str = "") -> Outcome:
    folders = {}
    for name in names:
        folder = folders[name.replace(" ", "_")] = project / "source" / name.replace(" ", "_")
        folder.mkdir(parents=True)
        (folder / "000001_orders.up.sql").write_text(ORDERS)
        (folder / "000002_change.up.sql").write_text(text_of(name))
        if more:
            (folder / "000003_more.up.sql").write_text(more)
    return run(project, folders, f"--pgmigrate-engine={own_pair().name}", "--pgmigrate-select=PMG5", *flags)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All of them in one run."""
    return judged(tmp_path_factory.mktemp("guards"), [*STOPPING, *NEVER, *PASSING, *SILENT, *UNTOLD])


def findings(outcome: Outcome, name: str) -> list[dict[str, Any]]:
    folder = name.replace(" ", "_")
    codes = ("PMG505", "PMG506")
    return [f for f in outcome.document["findings"] if f["code"] in codes and f["file"].startswith(f"{folder}/")]


def notes(outcome: Outcome, name: str) -> list[str]:
    return [n["reason"] for n in outcome.document["not_judged"] if n["reason"].startswith(f"{name.replace(' ', '_')}/")]


@pytest.mark.parametrize("name", STOPPING)
def test_a_guard_that_stops_is_silent(outcome: Outcome, name: str) -> None:
    assert findings(outcome, name) == []
    assert notes(outcome, name) == []
    folder = name.replace(" ", "_")
    [entry] = [e for e in outcome.document["history"] if e["folder"] == folder and e["name"] == "change"]
    [seen] = entry["replica"]["lag_guards"]
    assert any(trial["stopped"] for trial in seen["trials"])


@pytest.mark.parametrize("name", NEVER)
def test_what_is_null_on_a_primary_can_never_stop_it(outcome: Outcome, name: str) -> None:
    [finding] = findings(outcome, name)
    assert (finding["code"], finding["severity"]) == ("PMG505", "error")
    assert finding["line"] == NEVER[name][1]
    assert "() is NULL on a primary" in finding["message"]
    assert "pg_stat_replication" in finding["fix"]
    assert outcome.parts(name.replace(" ", "_"))["000002_change.up.sql"]["replica"] == "failed"


@pytest.mark.parametrize("name", PASSING)
def test_a_guard_that_sees_the_lag_and_goes_on_is_a_warning(outcome: Outcome, name: str) -> None:
    [finding] = findings(outcome, name)
    assert (finding["code"], finding["severity"], finding["line"]) == ("PMG506", "warning", 1)
    assert "though it sees a standby 1 day and 1 TiB behind" in finding["message"]


@pytest.mark.parametrize("name", SILENT)
def test_what_is_no_guard_is_silent(outcome: Outcome, name: str) -> None:
    assert findings(outcome, name) == []
    assert notes(outcome, name) == []


@pytest.mark.parametrize("name", UNTOLD)
def test_what_cannot_be_tried_is_said(outcome: Outcome, name: str) -> None:
    assert findings(outcome, name) == []
    [note] = notes(outcome, name)
    assert "the lag guard" in note


def test_one_useless_function_is_one_finding(tmp_path: Path) -> None:
    found = findings(judged(tmp_path, ["function"], more="SELECT check_lag();\n"), "function")
    assert [f["migration"] for f in found] == ["000002_change"]


def test_replay_really_held_back(tmp_path: Path) -> None:
    names = ["qualified", "threshold", "null"]
    seen = judged(tmp_path, names, "--pgmigrate-lag-drill=0.5")
    [qualified] = findings(seen, "qualified")
    # Half a second is less than its ten, and nothing else could be tried.
    assert (qualified["code"], qualified["severity"]) == ("PMG506", "warning")
    assert "lets the migration through" in qualified["message"]
    assert "with replay held back for 0.5 s" in qualified["message"]
    assert [f["code"] for f in findings(seen, "null")] == ["PMG505"]
    assert [f["severity"] for f in findings(seen, "threshold")] == ["info"]
    assert seen.traceback == ""


def test_a_threshold_below_the_real_lag_stops(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "000001_orders.up.sql").write_text(ORDERS)
    (source / "000002_change.up.sql").write_text(
        guard(f"{BYTES} > 200").replace("FROM pg_", "FROM pg_catalog.pg_") + COLUMN
    )
    (tmp_path / "project").mkdir()
    seen = run(
        tmp_path / "project", {"db": source}, f"--pgmigrate-engine={own_pair().name}", "--pgmigrate-lag-drill=0.3"
    )
    assert [f for f in seen.document["findings"] if f["code"] in ("PMG505", "PMG506")] == []
