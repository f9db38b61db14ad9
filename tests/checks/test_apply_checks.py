"""Family 2xx: an up that fails, that changes something twice, that spoils its session."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_pgmigrate.model.evidence import MigrationEvidence, SessionLeak
from pytest_pgmigrate.model.finding import Severity
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.model.state import Difference, RowChange, TableChange
from tests.checks import made

INSERT = made.said("INSERT INTO plans (name) VALUES ('Team')", 4, "insert_stmt", relations=["plans"])
PLANS = made.script(
    "000002_add_plan.up.sql", made.said("ALTER TABLE plans ADD COLUMN seats INT", 2, relations=["plans"]), INSERT
)
PLAN = made.migration(name="add_plan", up=PLANS)
IN_PLACE = PLANS.statements[1]


@pytest.mark.parametrize("code", sorted(c for c, check in made.CHECKS.items() if check.scope == "migration"))
def test_silent_on_a_migration_that_does_everything_right(code: str) -> None:
    assert made.findings(code, made.clean()) == []
    assert made.findings(code, made.clean(), strict=True) == []


@pytest.mark.parametrize("code", sorted(c for c, check in made.CHECKS.items() if check.scope == "migration"))
@pytest.mark.parametrize("status", ["skipped", "applied", "not-judged", "failed"])
def test_silent_on_a_migration_that_was_not_run(code: str, status: str) -> None:
    assert made.findings(code, MigrationEvidence(PLAN, status, "for a reason")) == []


def test_up_fails_repeats_the_server() -> None:
    problem = made.error(
        "23502", 'column "seats" of relation "plans" contains null values', IN_PLACE, detail="Failing row"
    )
    found = made.only("PMG201", made.failed(PLAN, problem))
    assert made.where(found) == ("000002_add_plan.up.sql", 4)
    assert 'column "seats" of relation "plans"' in found.message
    assert "23502" in found.message
    assert any("Failing row" in line for line in found.details)
    assert "NULL" in found.fix


def test_up_fails_gives_the_servers_hint_where_it_has_no_advice_of_its_own() -> None:
    problem = made.error("42883", "function nope() does not exist", IN_PLACE, hint="Add explicit type casts.")
    assert made.only("PMG201", made.failed(PLAN, problem)).fix == "Add explicit type casts."


@pytest.mark.parametrize("sqlstate", ["25001", "25P01", "55P04"])
def test_illegal_in_transaction_takes_its_failures_from_up_fails(sqlstate: str) -> None:
    seen = made.failed(PLAN, made.error(sqlstate, "cannot run inside a transaction block", IN_PLACE))
    found = made.only("PMG202", seen)
    assert made.where(found) == ("000002_add_plan.up.sql", 4)
    assert ("no-transaction" in found.fix) is (sqlstate != "55P04")
    assert made.findings("PMG201", seen) == []


def test_extension_unavailable_takes_its_failures_from_up_fails() -> None:
    problem = made.error("0A000", 'extension "postgis" is not available', IN_PLACE)
    seen = made.failed(PLAN, problem, missing_extension="postgis", engine="embedded")
    found = made.only("PMG208", seen)
    assert "postgis" in found.message
    assert "embedded" in found.message
    assert made.findings("PMG201", seen) == []
    assert made.findings("PMG208", replace(seen, missing_extension="")) == []


ROWS = TableChange(
    "public.plans", 20, 21, ("name",), (RowChange({"id": "21"}, "extra"), RowChange({"id": "3"}, "changed"))
)


def test_rerun_changes_state_points_at_the_statement_and_shows_rows() -> None:
    rerun = made.step(name="up without a down", difference=Difference(tables=(ROWS,)))
    found = made.only("PMG203", made.clean(PLAN, rerun=rerun))
    assert found.severity is Severity.ERROR
    assert made.where(found) == ("000002_add_plan.up.sql", 4)
    assert "public.plans: 21 rows, were 20" in found.message
    assert "ON CONFLICT" in found.fix
    assert any("id 21" in line for line in found.details)


def test_rerun_changes_state_knows_a_half_failed_run() -> None:
    rerun = made.step(problem=made.error("42701", "exists"), difference=Difference(tables=(ROWS,)))
    seen = made.clean(PLAN, rerun=rerun)
    assert "failed part way" in made.only("PMG203", seen).message
    assert made.findings("PMG204", seen) == []


def test_rerun_changes_state_leaves_clocks_alone() -> None:
    touched = replace(ROWS, columns=("updated_at",))
    rerun = made.step(difference=Difference(tables=(touched,)), explained=("public.plans.updated_at",))
    assert made.findings("PMG203", made.clean(PLAN, rerun=rerun)) == []


def test_rerun_refused_is_information_and_an_error_under_strict() -> None:
    seen = made.clean(PLAN, rerun=made.step(problem=made.error("42701", 'column "seats" already exists', IN_PLACE)))
    assert made.only("PMG204", seen).severity is Severity.INFO
    found = made.only("PMG204", seen, strict=True)
    assert found.severity is Severity.ERROR
    assert 'column "seats" already exists' in found.message
    assert made.findings("PMG203", seen) == []


def test_partial_apply_lists_what_is_left() -> None:
    left = Difference(
        (made.extra("column", "public.plans.seats", "public.plans"),), (TableChange("public.plans", 20, 21),)
    )
    seen = made.failed(PLAN, made.error("42P01", "no table", IN_PLACE), difference=left)
    found = made.only("PMG205", seen)
    assert "2 changes" in found.message
    assert "public.plans.seats" in found.message
    assert found.observed == {"objects": ["column public.plans.seats"], "tables": ["public.plans"]}
    assert made.findings("PMG205", made.failed(PLAN, made.error("42P01", "no table", IN_PLACE))) == []


def test_partial_apply_points_at_the_commit_before_the_failure() -> None:
    up = made.script(
        "000002_add_plan.up.sql",
        made.said("ALTER TABLE plans ADD COLUMN seats INT", 2),
        made.said("COMMIT", 3, "TXN COMMIT"),
        made.said("ALTER TABLE plans ADD COLUMN country TEXT NOT NULL", 4),
        made.said("COMMIT", 5, "TXN COMMIT"),
    )
    left = Difference((made.extra("column", "public.plans.seats", "public.plans"),))
    seen = made.failed(made.migration(up=up), made.error("23502", "null values", up.statements[2]), difference=left)
    assert made.where(made.only("PMG205", seen)) == ("000002_add_plan.up.sql", 3)


def _leaving(name: str, expected: str, found: str, text: str) -> MigrationEvidence:
    up = made.script("000002_x.up.sql", made.said("CREATE TABLE a ()", 2), made.said(text, 5))
    leak = SessionLeak(name, expected, found)
    return made.clean(made.migration(name="x", up=up), up=made.step(seen={"session": (leak,)}))


@pytest.mark.parametrize(
    ("name", "text", "fix"),
    [
        ("search_path", "SET search_path TO billing", "SET LOCAL search_path"),
        ("transaction", "BEGIN", "COMMIT"),
        ("advisory lock", "SELECT pg_advisory_lock(7)", "pg_advisory_xact_lock"),
        ("temporary table", "CREATE TEMP TABLE scratch ()", "ON COMMIT DROP"),
        ("role", "SET ROLE auditor", "SET LOCAL role"),
    ],
)
def test_session_left_dirty_points_at_the_cause(name: str, text: str, fix: str) -> None:
    seen = _leaving(name, "", "left", text)
    found = made.only("PMG206", seen)
    assert made.where(found) == ("000002_x.up.sql", 5)
    assert fix in found.fix
    assert made.findings("PMG207", seen) == []


def test_session_left_dirty_by_a_down() -> None:
    leak = SessionLeak("search_path", '"$user", public', "billing")
    seen = made.clean(PLAN, down=made.step(Direction.DOWN, seen={"session": (leak,)}))
    found = made.only("PMG206", seen)
    assert made.where(found) == ("000002_add_plan.down.sql", 1)
    assert "after the down" in found.message


def test_session_timeout_changed_is_information() -> None:
    seen = _leaving("lock_timeout", "30s", "5s", "SET lock_timeout = '5s'")
    found = made.only("PMG207", seen)
    assert found.severity is Severity.INFO
    assert made.where(found) == ("000002_x.up.sql", 5)
    assert "lock_timeout is 5s, was 30s" in found.message
    assert made.findings("PMG206", seen) == []
