from __future__ import annotations

import pytest

from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.seeding import FakeSeeder
from tests.seeding.conftest import Make
from tests.seeding.recheck import colliding_sequences, rows, violations
from tests.seeding.torture import loadable

TRIGGERS = "SELECT tgrelid, tgname, tgenabled FROM pg_trigger ORDER BY 1, 2"


def test_every_table_is_filled_or_says_why(make: Make, server: str, request: pytest.FixtureRequest) -> None:
    cluster: Cluster = request.getfixturevalue(server)
    features, ddl = loadable(cluster.extensions())
    connection = make(server, ddl)
    triggers = rows(connection, TRIGGERS)
    reports = FakeSeeder(seed=1, rows=20).fill(connection, exclude_schemas=[])

    expected = {table: status for feature in features for table, status in feature.expected.items()}
    surprising = {
        report.table: (report.status, report.filled, report.reason)
        for report in reports
        if report.status != expected.get(report.table, "full")
    }
    assert surprising == {}
    assert expected.keys() <= {report.table for report in reports}
    assert [report.table for report in reports if report.status != "full" and not report.reason] == []
    assert violations(connection) == []
    assert colliding_sequences(connection) == []
    assert rows(connection, TRIGGERS) == triggers

    connection.execute("RESET search_path")
    more = FakeSeeder(seed=1, rows=20).write_more(connection, exclude_schemas=[], rows=5)
    # What a trigger refuses an application cannot write either: then no trigger is switched off.
    refused = {"public.trigger_rejects", "public.statement_rejects", "public.trigger_broken", "public.trigger_discards"}
    assert {report.table for report in more if report.status == "empty"} == refused | {
        table for table, status in expected.items() if status == "empty"
    }
    assert violations(connection) == []
