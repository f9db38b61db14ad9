"""Contractions against what is released, and what is known twice, without a server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_pgmigrate.model.cluster import EdgeRow
from pytest_pgmigrate.model.compat import Break, CompatEvidence, Refused
from pytest_pgmigrate.model.evidence import Assumption, EdgeEvidence, MigrationEvidence, ServerError
from pytest_pgmigrate.model.migration import Direction, Migration, Place, Record, Recorded
from tests.checks import made


def _contraction(needs: str, index: int = 2) -> Migration:
    up = made.script("000003_drop.up.sql", directives=[made.directive("contract", needs)])
    return made.migration("000003", "drop", up=up, down=None, index=index)


def _found(needs: str, *released: str, source: str = "ledger") -> list[str]:
    record = Record(source, "prod.csv", tuple(Recorded(version, None, None) for version in released))
    first, second = made.migration("000001", "a", index=0), made.migration("000002", "b", index=1)
    history = made.history(first, second, _contraction(needs), made.migration("000004", "c", index=3), record=record)
    return [f.message for f in made.findings("PMG608", history)]


@pytest.mark.parametrize(
    ("needs", "released", "words"),
    [
        ("000002", (), ""),
        ("2", (), ""),
        ("000002_b", (), ""),
        ("000002", ("1", "2"), ""),
        ("000002", ("000001", "000002", "000003"), ""),
        ("000009", (), "there is no such migration"),
        ("000003", (), "it does not lie before this one"),
        ("000004", (), "it does not lie before this one"),
        ("000002", ("000001",), "neither of the two is released yet (ledger: prod.csv)"),
    ],
)
def test_a_contraction_rests_on_what_is_released(needs: str, released: tuple[str, ...], words: str) -> None:
    found = _found(needs, *released)
    assert len(found) == (1 if words else 0)
    assert all(words in message for message in found)


ONE = Break(
    "value",
    "column",
    "public.users.phone",
    "public.users",
    (Refused("INSERT", "INSERT …", "23502", 'null value in column "phone"', column="phone"),),
    subject="phone",
    value="NULL",
)


def _evidence(*breaks: Break, rows: tuple[EdgeRow, ...] = ()) -> MigrationEvidence:
    error = ServerError("23502", "column contains null values", Place("up.sql", 1, 1))
    assumed = (Assumption(Direction.UP, error, rows),) if rows else ()
    return replace(
        MigrationEvidence(made.migration(), "examined", drills=(CompatEvidence(1, breaks),)),
        edge=EdgeEvidence(assumptions=assumed),
    )


@pytest.mark.parametrize(("column", "told"), [("phone", 0), ("email", 1)])
def test_values_that_stop_the_up_already_are_not_told_again(column: str, told: int) -> None:
    row = EdgeRow("public.users", column, "NULL", None)
    found = made.findings("PMG605", _evidence(ONE, rows=(row,)))
    assert len(found) == told


def test_a_cause_that_a_query_shows_is_told_once() -> None:
    query = Refused("QUERY", "SELECT phone", "42703", "gone", file="app/q.sql", line=3)
    named = replace(ONE, queries=(query,))
    codes = [
        f.code
        for code in ("PMG601", "PMG602", "PMG603", "PMG604", "PMG605")
        for cause in ("renamed", "dropped", "refused", "delete", "call", "value")
        for f in made.findings(code, _evidence(replace(named, cause=cause)))
    ]
    assert codes == ["PMG604"] * 6
