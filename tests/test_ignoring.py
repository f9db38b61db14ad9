"""Patterns of data that may differ: what they fit, and what is left of a difference."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.evidence import LostRows
from pytest_pgmigrate.model.ignoring import Ignoring
from pytest_pgmigrate.model.state import Difference, RowChange, TableChange


@pytest.mark.parametrize(
    ("pattern", "fits", "other"),
    [
        ("*.updated_at", ("public.users", "updated_at"), ("public.users", "updated_at_by")),
        ("users.updated_at", ("shop.users", "updated_at"), ("public.users_old", "updated_at")),
        ("public.users.updated_at", ("public.users", "updated_at"), ("shop.users", "updated_at")),
        ("public.*.*_at", ("public.users", "created_at"), ("public.users", "at")),
        ("audit_*.*", ("public.audit_log", "anything"), ("public.users", "anything")),
        ('"Odd one"."a.b".v', ('"Odd one"."a.b"', "v"), ('"Odd one".a', "v")),
        ("*.a+b", ("public.users", "a+b"), ("public.users", "aab")),
    ],
)
def test_pattern_fits(pattern: str, fits: tuple[str, str], other: tuple[str, str]) -> None:
    ignoring = Ignoring.parse([pattern])
    found = ignoring.column(*fits)
    assert found is not None
    assert found.text == pattern
    assert ignoring.column(*other) is None


@pytest.mark.parametrize("pattern", ["users", "a.b.c.d", "."])
def test_another_shape_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"table\.column or schema\.table\.column"):
        Ignoring.parse([pattern])


def _row(key: str, **values: tuple[str | None, str | None]) -> RowChange:
    return RowChange({"id": key}, "changed", values)


USERS = TableChange(
    "public.users",
    20,
    20,
    ("name", "updated_at"),
    (_row("1", name=("a", "b"), updated_at=("1", "2")), _row("2", updated_at=("1", "2"))),
    key=("id",),
    by_column={"name": 1, "updated_at": 20},
    by_change={"changed": 1},
)


def test_a_column_goes_and_the_others_stay() -> None:
    left, out = Ignoring.parse(["*.updated_at"]).split(Difference(tables=(USERS,)))
    assert [(item.table, item.column, item.rows) for item in out] == [("public.users", "updated_at", 20)]
    (change,) = left.tables
    assert change.columns == ("name",)
    assert change.by_column == {"name": 1}
    assert change.rows == (_row("1", name=("a", "b")),)


def test_nothing_is_left_when_only_ignored_columns_differ() -> None:
    change = TableChange("public.users", 20, 20, ("updated_at",), by_column={"updated_at": 20})
    left, out = Ignoring.parse(["*.updated_at"]).split(Difference(tables=(change,)))
    assert left.tables == ()
    assert [item.rows for item in out] == [20]


def test_rows_gone_are_never_ignored_for_a_columns_sake() -> None:
    change = TableChange("public.users", 20, 19, ("updated_at",), by_change={"missing": 1})
    left, _ = Ignoring.parse(["*.updated_at"]).split(Difference(tables=(change,)))
    assert [c.new_count for c in left.tables] == [19]


def test_a_whole_table_goes_with_its_rows() -> None:
    change = TableChange("public.audit_log", 20, 23, by_change={"extra": 3})
    left, out = Ignoring.parse(["public.audit_log.*"]).split(Difference(tables=(change, USERS)))
    assert left.tables == (USERS,)
    assert [(item.table, item.column, item.rows) for item in out] == [("public.audit_log", "", 3)]


@pytest.mark.parametrize(
    ("lost", "left"),
    [
        (LostRows("public.users", "later", 3, 0, 2, ("updated_at",)), []),
        (LostRows("public.users", "later", 3, 0, 2, ("name", "updated_at")), [("name",)]),
        (LostRows("public.users", "later", 3, 1, 0), [()]),
        (LostRows("public.audit_log", "later", 3, 3, 0), []),
    ],
)
def test_later_rows(lost: LostRows, left: list[tuple[str, ...]]) -> None:
    kept, _ = Ignoring.parse(["*.updated_at", "audit_log.*"]).split_lost([lost])
    assert [item.columns for item in kept] == left
