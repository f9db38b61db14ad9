"""PMG710: a migration tried on a table without a row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_pgmigrate.model.cluster import SeedReport
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Severity
from tests.checks import made

UP = made.script(
    "000002_add_note.up.sql", made.said("ALTER TABLE Orders ADD COLUMN note TEXT", 3, relations=["orders"])
)
EMPTY = SeedReport(
    "public.orders",
    20,
    0,
    "empty",
    "parent public.plans is empty",
    cause="public.plans: 23514 plans_check",
    stub="INSERT INTO plans VALUES (NULL);",
)


def evidence(report: SeedReport = EMPTY, **more: object) -> MigrationEvidence:
    """A clean migration about orders, of which seeding said this."""
    return made.clean(made.migration(up=UP), **{"seeded": (report,), "rows_before": {"public.orders": 0}, **more})


def test_table_cause_and_stub_are_named() -> None:
    found = made.only("PMG710", evidence())
    assert made.where(found) == ("000002_add_note.up.sql", 3)
    assert "orders had no row" in found.message
    assert "0 of 20" in found.message
    assert "public.plans: 23514 plans_check" in found.message
    assert "fill plans in seed/" in found.fix
    assert "INSERT INTO plans VALUES (NULL);" in found.fix


def test_an_error_only_under_strict() -> None:
    assert made.only("PMG710", evidence()).severity is Severity.INFO
    assert made.only("PMG710", evidence(), strict=True).severity is Severity.ERROR


@pytest.mark.parametrize(
    "silent",
    [
        evidence(replace(EMPTY, status="skipped")),
        evidence(replace(EMPTY, status="partial", filled=3)),
        evidence(rows_before={"public.orders": 2}),
        evidence(replace(EMPTY, table="public.others")),
        evidence(replace(EMPTY, table="archive.orders")),
        evidence(status="failed"),
        evidence(seeded=()),
    ],
    ids=["skipped", "partial", "rows by now", "another table", "another schema", "failed", "filled"],
)
def test_silent(silent: MigrationEvidence) -> None:
    assert made.findings("PMG710", silent, strict=True) == []
