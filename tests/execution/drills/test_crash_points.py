"""Where an up is crashed: after what was committed, and nowhere twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from pytest_pgmigrate.discovery.folders import load_history
from pytest_pgmigrate.execution.drills._crash import Point, _brief, points
from pytest_pgmigrate.execution.drills._cutting import sample
from pytest_pgmigrate.model.evidence import Step
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.model.watch import StatementSeen

APART = "-- pgmigrate: no-transaction sent one by one\n"


def found(folder: Path, text: str, stops: dict[int, int] | None = None, most: int = 8) -> list[Point]:
    """The points of an up whose statements had these stops."""
    (folder / "1_step.up.sql").write_text(text)
    [migration] = load_history(folder, folder).migrations
    every = migration.up.statements
    seen = [StatementSeen(every[index], index, index, stops=number) for index, number in (stops or {}).items()]
    return points(migration.up, replace(Step("up", Direction.UP), watched=tuple(seen)), most)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        (APART + "CREATE TABLE a (); CREATE TABLE b (); CREATE TABLE c ();", [0, 1]),
        (APART + "SET lock_timeout = 5; CREATE TABLE a (); SET lock_timeout = 9; CREATE TABLE b ();", [1]),
        (APART + "BEGIN; CREATE TABLE a (); CREATE TABLE b (); COMMIT; CREATE TABLE c ();", [3]),
        ("CREATE TABLE a (); CREATE TABLE b ();", []),
        ("BEGIN; CREATE TABLE a (); COMMIT; CREATE TABLE b ();", [2]),
        ("BEGIN; CREATE TABLE a (); COMMIT; BEGIN; CREATE TABLE b (); COMMIT;", [2]),
    ],
)
def test_after_each_transaction_but_the_last(tmp_path: Path, text: str, after: list[int]) -> None:
    assert found(tmp_path, text) == [Point(index) for index in after]


def test_at_each_commit_inside_a_statement(tmp_path: Path) -> None:
    text = APART + "CREATE TABLE a (); DROP INDEX CONCURRENTLY i; CREATE INDEX CONCURRENTLY j ON t (v);"
    inside = [Point(1, 1), Point(1, 2), Point(1, 3), Point(2, 1), Point(2, 2), Point(2, 3, whole=True)]
    assert found(tmp_path, text, {1: 3, 2: 3}) == [Point(0), *inside]


def test_many_commits_are_sampled(tmp_path: Path) -> None:
    text = APART + "CALL fill(); CREATE TABLE a ();"
    assert [point.stop for point in found(tmp_path, text, {0: 1000}, most=3)] == [1, 501, 1000]
    assert sample(range(10), 1) == [0]


def test_an_error_without_words_is_named() -> None:
    assert _brief(psycopg.OperationalError("")) == "OperationalError"
    assert _brief(psycopg.OperationalError("gone\nand more")) == "gone"
