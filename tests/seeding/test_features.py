from __future__ import annotations

import pytest

from pytest_pgmigrate.seeding import FakeSeeder
from tests.seeding.conftest import Make
from tests.seeding.features import FEATURES
from tests.seeding.helpers import count, violations


@pytest.mark.parametrize(("ddl", "table", "rows"), [pytest.param(*case[1:], id=case[0]) for case in FEATURES])
def test_feature_is_filled_and_written_to(make: Make, server: str, ddl: str, table: str, rows: int) -> None:
    connection = make(server, ddl)
    seeder = FakeSeeder(seed=1, rows=20)
    reports = seeder.fill(connection, exclude_schemas=[])
    assert [report for report in reports if report.status not in ("full", "saturated")] == []
    assert count(connection, f"ONLY {table}" if table == "u" else table) == rows
    assert violations(connection) == []
    more = seeder.write_more(connection, exclude_schemas=[], rows=5)
    assert [report for report in more if report.status not in ("full", "saturated")] == []
    assert count(connection, f"ONLY {table}" if table == "u" else table) == (rows + 5 if rows == 20 else rows)
    assert violations(connection) == []
