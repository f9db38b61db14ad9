"""Family 4xx, the rows, and family 5xx: values lost by a down, later rows lost, a replica that is not equal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_pgmigrate.model.evidence import LaterRows, LostRows, MigrationEvidence, ReplicaEvidence
from pytest_pgmigrate.model.finding import Severity
from pytest_pgmigrate.model.migration import Direction, Migration
from pytest_pgmigrate.model.state import Difference, RowChange, TableChange
from tests.checks import made

UP = made.script(
    "000002_drop_nickname.up.sql",
    made.said("ALTER TABLE customers DROP COLUMN nickname", 2, "ALTER TABLE: DropColumn", relations=["customers"]),
)
DOWN = made.script(
    "000002_drop_nickname.down.sql",
    made.said("ALTER TABLE customers ADD COLUMN nickname TEXT", 2, relations=["customers"]),
    made.said("DELETE FROM customers", 3, "delete_stmt", relations=["customers"]),
)
NICKNAME = made.migration(name="drop_nickname", up=UP, down=DOWN)
ROW = RowChange({"id": "7"}, "changed", {"nickname": ("Ada", None)})
LOST = TableChange("public.customers", 20, 20, ("nickname",), (ROW,), ("nickname",))


def _down(change: TableChange, subject: Migration = NICKNAME, **more: object) -> MigrationEvidence:
    step = made.step(Direction.DOWN, difference=Difference(tables=(change,)))
    return made.clean(subject, down=step, **more)


def _declaring(*names: str) -> Migration:
    return replace(
        NICKNAME,
        up=made.script(
            "000002_drop_nickname.up.sql", *UP.statements, directives=[made.directive("irreversible", *names)]
        ),
    )


def test_down_loses_data_names_column_row_and_remedy() -> None:
    found = made.only("PMG403", _down(LOST))
    assert made.where(found) == ("000002_drop_nickname.down.sql", 3)
    assert "customers after the down: the values of nickname are gone" in found.message
    assert "irreversible[customers.nickname]" in found.fix
    assert found.details == ("public.customers row id 7: nickname was 'Ada', is NULL",)


def test_down_loses_data_stands_on_top_of_a_down_that_writes_nothing() -> None:
    silent = made.script("000002_drop_nickname.down.sql", DOWN.statements[0])
    found = made.only("PMG403", _down(LOST, replace(NICKNAME, down=silent)))
    assert made.where(found) == ("000002_drop_nickname.down.sql", 1)


def test_down_loses_data_counts_rows() -> None:
    assert "5 of 20 rows are gone" in made.only("PMG403", _down(TableChange("public.customers", 20, 15))).message


def test_rows_left_are_a_difference_not_a_loss() -> None:
    insert = made.said(
        "INSERT INTO customers (email) VALUES ('shop@shop.example')", 6, "insert_stmt", relations=["customers"]
    )
    subject = replace(NICKNAME, up=made.script("000002_drop_nickname.up.sql", *UP.statements, insert))
    seen = _down(TableChange("public.customers", 20, 22, rows=(RowChange({"id": "21"}, "extra"),)), subject)
    assert made.findings("PMG403", seen) == []
    found = made.only("PMG402", seen)
    assert made.where(found) == ("000002_drop_nickname.up.sql", 6)
    assert "leaves 2 rows in customers" in found.message
    assert found.details == ("public.customers row id 21: extra",)
    declared = _declaring("customers")
    assert made.findings("PMG402", replace(seen, migration=declared)) == []


@pytest.mark.parametrize("names", [(), ("customers",), ("public.customers",), ("customers.nickname",)])
def test_down_loses_data_accepts_a_declaration(names: tuple[str, ...]) -> None:
    assert made.findings("PMG403", _down(LOST, _declaring(*names))) == []


def test_a_declaration_about_one_column_does_not_cover_another() -> None:
    two = replace(LOST, columns=("email", "nickname"), lost_columns=("email", "nickname"))
    assert made.only("PMG403", _down(two, _declaring("customers.nickname")))
    assert made.findings("PMG403", _down(two, _declaring("customers.nickname", "customers.email"))) == []
    assert made.only("PMG403", _down(LOST, _declaring("orders")))


def test_down_loses_data_leaves_clocks_alone() -> None:
    clock = TableChange("public.customers", 20, 20, ("updated_at",))
    step = made.step(Direction.DOWN, difference=Difference(tables=(clock,)), explained=("public.customers.updated_at",))
    assert made.findings("PMG403", made.clean(NICKNAME, down=step)) == []


LATER = LostRows("public.customers", "later", 3, 3, 0, (), ("id 21: gone",))


def _later(*lost: LostRows, subject: Migration = NICKNAME, **more: object) -> MigrationEvidence:
    return made.clean(subject, later=LaterRows(True, 3, lost=lost), **more)


def test_down_loses_later_rows() -> None:
    found = made.only("PMG408", _later(LATER))
    assert made.where(found) == ("000002_drop_nickname.down.sql", 3)
    assert "customers after the down: 3 of 3 rows written after the up are gone" in found.message
    assert found.details == ("id 21: gone",)
    changed = replace(LATER, missing=0, changed=2, columns=("email",))
    assert "2 of 3 rows written after the up have other values in email" in made.only("PMG408", _later(changed)).message


def test_rows_of_before_are_reported_once() -> None:
    before = replace(LATER, kind="before")
    assert made.only("PMG408", _later(before))
    assert len(made.findings("PMG408", _later(before, LATER))) == 1
    reported = made.step(Direction.DOWN, difference=Difference(tables=(LOST,)))
    assert made.findings("PMG408", _later(before, down=reported)) == []


def test_later_rows_are_not_judged_beside_a_down_that_loses_rows_anyway() -> None:
    down = made.step(Direction.DOWN, difference=Difference(tables=(LOST,)))
    assert made.findings("PMG408", _later(LATER, down=down)) == []
    problem = made.error("23514", "violated", DOWN.statements[0])
    fails = LaterRows(True, 3, down=made.step(Direction.DOWN, problem=problem))
    assert made.findings("PMG411", made.clean(NICKNAME, down=down, later=fails)) == []


def test_an_acknowledged_loss_does_not_hide_another_tables_later_rows() -> None:
    down = made.step(Direction.DOWN, difference=Difference(tables=(LOST,)))
    subject = _declaring("customers.nickname")
    assert made.only("PMG408", _later(replace(LATER, table="public.orders"), subject=subject, down=down))
    fails = LaterRows(True, 3, down=made.step(Direction.DOWN, problem=made.error("23514", "violated")))
    assert made.only("PMG411", made.clean(subject, down=down, later=fails))


@pytest.mark.parametrize("names", [(), ("customers",), ("customers.email",)])
def test_down_loses_later_rows_accepts_a_declaration(names: tuple[str, ...]) -> None:
    lost = replace(LATER, missing=0, changed=2, columns=("email",))
    assert made.findings("PMG408", _later(lost, subject=_declaring(*names))) == []
    assert made.only("PMG408", _later(lost, subject=_declaring("orders")))


def test_a_down_that_fails_on_rows_of_both_versions_is_an_error() -> None:
    problem = made.error("23514", "check constraint is violated by some row", DOWN.statements[0], detail="row 21")
    later = LaterRows(True, 12, down=made.step(Direction.DOWN, problem=problem))
    found = made.only("PMG411", made.clean(NICKNAME, later=later))
    assert found.severity is Severity.ERROR
    assert made.where(found) == ("000002_drop_nickname.down.sql", 2)
    assert "12 rows" in found.message
    assert "violated by some row" in found.message
    fine = LaterRows(True, 12, down=made.step(Direction.DOWN))
    assert made.findings("PMG411", made.clean(NICKNAME, later=fine)) == []


def test_replica_differs() -> None:
    difference = Difference(tables=(TableChange("public.rates", 2, 0),))
    found = made.only("PMG501", made.clean(replica=ReplicaEvidence(True, True, 0.1, difference)))
    assert made.where(found) == ("000002_add_note.up.sql", 1)
    assert "public.rates: 0 rows, were 2" in found.message


def test_replica_not_caught_up_tells_why() -> None:
    still = ReplicaEvidence(True, False, 30.0, reason="replay stands at 0/3000060")
    seen = made.clean(replica=still)
    found = made.only("PMG502", seen)
    assert "after 30 s: replay stands at 0/3000060" in found.message
    assert made.findings("PMG501", seen) == []
    for quiet in (ReplicaEvidence(reason="no replica was given"), ReplicaEvidence(True, True, 0.1)):
        assert made.findings("PMG502", made.clean(replica=quiet)) == []
        assert made.findings("PMG501", made.clean(replica=quiet)) == []
