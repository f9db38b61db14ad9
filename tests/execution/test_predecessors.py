"""What the state before a migration follows from: each of it makes another digest, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_pgmigrate.discovery import discover
from pytest_pgmigrate.execution.predecessors import Resumed, Settled, content, facts, resumed
from pytest_pgmigrate.model.cluster import Filled, SeedReport
from pytest_pgmigrate.model.migration import TransactionRule
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import load_formats

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_pgmigrate.model.migration import Migration

FILES = {
    "000001_users.up.sql": "CREATE TABLE users (id int);\n",
    "000001_users.down.sql": "DROP TABLE users;\n",
    "000002_age.up.sql": "ALTER TABLE users ADD COLUMN age int;\n",
}


def read(folder: Path, **changed: str) -> tuple[Migration, ...]:
    """The migrations of these files, some with another text; "" for none."""
    for path in folder.glob("*"):
        path.unlink()
    for name, text in {
        **FILES,
        **{f"{key[1:]}.sql".replace("_up", ".up"): text for key, text in changed.items()},
    }.items():
        if text:
            (folder / name).write_text(text)
    (history,) = discover(folder.parent, [folder], load_formats(()), since=None, ledger=None)
    return history.migrations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "migrations").mkdir()
    return tmp_path / "migrations"


def digest(
    migrations: tuple[Migration, ...], settings: Settings | None = None, seeder: str = "", today: str = ""
) -> str:
    return content(migrations, "golang-migrate", settings or Settings(), seeder, today=today)


def test_the_same_is_the_same_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "sql"
    other.mkdir(parents=True)
    assert digest(read(folder)) == digest(read(other))


@pytest.mark.parametrize(
    "changed",
    [
        {"_000002_age_up": "ALTER TABLE users ADD COLUMN age bigint;\n"},
        {"_000002_age_up": FILES["000002_age.up.sql"] + "-- a comment\n"},
        {"_000002_age_up": ""},
        {"_000003_more_up": "SELECT 1;\n"},
    ],
    ids=["text", "comment", "gone", "more"],
)
def test_every_migration_counts(folder: Path, changed: dict[str, str]) -> None:
    assert digest(read(folder)) != digest(read(folder, **changed))


def test_a_new_name_counts(folder: Path) -> None:
    before = digest(read(folder))
    moved = read(folder, _000002_age_up="", _000002_years_up=FILES["000002_age.up.sql"])
    assert digest(moved) != before


def test_order_counts(folder: Path) -> None:
    first, second = read(folder)
    assert digest((first, second)) != digest((second, first))


def test_the_way_a_text_is_sent_counts(folder: Path) -> None:
    first, second = read(folder)
    chunks = tuple(replace(chunk, rule=TransactionRule.EXPLICIT) for chunk in second.up.chunks)
    assert digest((first, replace(second, up=replace(second.up, chunks=chunks)))) != digest((first, second))


def test_downs_do_not_count(folder: Path) -> None:
    before = read(folder)
    assert digest(tuple(replace(migration, down=None) for migration in before)) == digest(before)


@pytest.mark.parametrize(
    "changed",
    [{"seed": 1}, {"rows": 21}, {"lock_timeout": 1.0}, {"statement_timeout": 1.0}],
    ids=lambda c: next(iter(c)),
)
def test_settings_that_matter_count(folder: Path, changed: dict[str, int]) -> None:
    migrations = read(folder)
    assert digest(migrations, replace(Settings(), **changed)) != digest(migrations)  # type: ignore[arg-type]


def test_settings_of_judging_do_not_count(folder: Path) -> None:
    migrations = read(folder)
    other = Settings(strict=True, later_rows=9, ignore=("PMG402",), scale=True, report=("json",))
    assert digest(migrations, other) == digest(migrations)


def test_the_seeder_counts(folder: Path) -> None:
    migrations = read(folder)
    assert digest(migrations, seeder="a file's digest") != digest(migrations)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("CREATE TABLE t (at date DEFAULT CURRENT_DATE);\n", True),
        ("INSERT INTO users SELECT extract(year FROM NOW ());\n", True),
        ("SELECT 'tomorrow'::date;\n", True),
        ("SELECT nowhere, snow(), 'not now';\n", False),
    ],
)
def test_the_date_counts_where_the_clock_is_asked(folder: Path, text: str, counts: bool) -> None:
    migrations = read(folder, _000003_clock_up=text)
    days = {digest(migrations, today=day) for day in ("2026-01-31", "2026-02-01")}
    assert len(days) == (2 if counts else 1)


def test_what_goes_with_the_database_comes_back(folder: Path) -> None:
    migrations = read(folder)
    state = Settled((SeedReport("public.t", 20, 0, "empty", "why", "cause", "INSERT INTO t …"),))
    assert resumed(Filled("db", facts(state)), migrations) == Resumed("db", migrations, state)
