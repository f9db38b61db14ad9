"""Family 4xx, the schema: a down that fails, leaves something, moves columns, or does nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Severity
from pytest_pgmigrate.model.migration import Direction, Migration
from pytest_pgmigrate.model.state import (
    Difference,
    ObjectChange,
    SequenceChange,
    SequenceValue,
    TableChange,
)
from tests.checks import made

UP = made.script(
    "000002_add_coupon.up.sql",
    made.said(
        "ALTER TABLE orders ADD COLUMN coupon TEXT",
        2,
        "ALTER TABLE: AddColumn",
        relations=["orders"],
        creates=["orders.coupon"],
    ),
    made.said("CREATE INDEX idx_orders_placed_at ON orders (placed_at)", 3, creates=["idx_orders_placed_at"]),
)
DOWN = made.script(
    "000002_add_coupon.down.sql",
    made.said(
        "ALTER TABLE orders DROP COLUMN coupon",
        1,
        "ALTER TABLE: DropColumn",
        relations=["orders"],
    ),
)
COUPON = made.migration(name="add_coupon", up=UP, down=DOWN)
INDEX = made.extra("index", "public.idx_orders_placed_at", "public.orders")


def _down(*changes: ObjectChange, subject: Migration = COUPON, **more: object) -> MigrationEvidence:
    return made.clean(subject, down=made.step(Direction.DOWN, difference=Difference(changes)), **more)


def _declaring(*names: str) -> Migration:
    said = made.script(
        "000002_add_coupon.up.sql", *UP.statements, directives=[made.directive("irreversible", *names, reason="agreed")]
    )
    return replace(COUPON, up=said)


def test_down_fails_repeats_the_server_and_what_is_left() -> None:
    problem = made.error("2BP01", "cannot drop table orders because other objects depend on it", DOWN.statements[0])
    seen = made.clean(COUPON, down=made.step(Direction.DOWN, problem=problem, difference=Difference((INDEX,))))
    found = made.only("PMG401", seen)
    assert made.where(found) == ("000002_add_coupon.down.sql", 1)
    assert "other objects depend on it" in found.message
    assert "2BP01" in found.message
    assert "reverse order" in found.fix
    assert any("idx_orders_placed_at" in line for line in found.details)
    assert made.findings("PMG402", seen) == []


def test_down_fails_is_not_said_of_a_declared_migration() -> None:
    problem = made.error("42P01", "no table", DOWN.statements[0])
    seen = made.clean(_declaring(), down=made.step(Direction.DOWN, problem=problem))
    assert made.findings("PMG401", seen) == []
    # A directive about one column does not excuse a down that fails.
    assert made.only("PMG401", replace(seen, migration=_declaring("orders.coupon")))


def test_down_that_refuses_is_a_declaration_without_a_directive() -> None:
    problem = made.error("P0001", "orders cannot be split again", DOWN.statements[0])
    seen = made.clean(COUPON, down=made.step(Direction.DOWN, problem=problem))
    assert made.findings("PMG401", seen) == []
    found = made.only("PMG409", seen)
    assert found.severity is Severity.WARNING
    assert "orders cannot be split again" in found.message


def test_declared_irreversible_prints_the_reason() -> None:
    found = made.only("PMG409", made.clean(_declaring("orders.coupon")))
    assert found.severity is Severity.INFO
    assert "orders.coupon" in found.message
    assert "agreed" in found.message


def test_down_leaves_difference_blames_the_statement_that_made_it() -> None:
    found = made.only("PMG402", _down(INDEX))
    assert made.where(found) == ("000002_add_coupon.up.sql", 3)
    assert "public.idx_orders_placed_at" in found.message
    assert found.fix == "add to 000002_add_coupon.down.sql: DROP INDEX public.idx_orders_placed_at;"


def test_down_leaves_difference_gives_one_finding_a_statement() -> None:
    column = made.extra("column", "public.orders.coupon", "public.orders")
    again = made.extra("constraint", "public.orders coupon", "public.orders")
    found = made.findings("PMG402", _down(INDEX, column, again))
    assert [made.where(f)[1] for f in found] == [3, 2]
    assert "and 1 more" in found[1].message
    assert found[1].fix == "add to 000002_add_coupon.down.sql: ALTER TABLE public.orders DROP COLUMN coupon;"
    assert len(found[1].details) == 2


@pytest.mark.parametrize(
    ("change", "message", "fix"),
    [
        (made.missing("index", "public.idx_old"), "index public.idx_old is gone", "create index public.idx_old again"),
        (
            made.changed("column", "public.orders.total", "default", "0", None, "public.orders"),
            "default is not set, was 0",
            "ALTER TABLE public.orders ALTER COLUMN total SET DEFAULT 0;",
        ),
        (
            made.extra("constraint", "public.orders orders_total_check", "public.orders"),
            "is left",
            "ALTER TABLE public.orders DROP CONSTRAINT orders_total_check;",
        ),
        (
            made.extra("trigger", "public.orders touch_note", "public.orders"),
            "trigger public.orders touch_note is left",
            "DROP TRIGGER touch_note ON public.orders;",
        ),
        (made.extra("policy", "public.orders own", "public.orders"), "is left", "DROP POLICY own ON public.orders;"),
        (made.extra("rule", "public.orders keep", "public.orders"), "is left", "DROP RULE keep ON public.orders;"),
        (made.extra("domain", "public.money_amount"), "is left", "DROP DOMAIN public.money_amount;"),
    ],
)
def test_down_leaves_difference_says_what_to_do(change: ObjectChange, message: str, fix: str) -> None:
    found = made.only("PMG402", _down(change))
    assert message in found.message
    assert fix in found.fix


@pytest.mark.parametrize("name", ["public.normalise(text, numeric)", "public.normalise()"])
def test_down_leaves_difference_finds_the_statement_of_a_function(name: str) -> None:
    said = made.said("CREATE FUNCTION normalise(t TEXT) …", 9, "create_function_stmt", creates=["normalise"])
    up = made.script("000002_add_coupon.up.sql", *UP.statements, said)
    found = made.only("PMG402", _down(made.extra("function", name), subject=replace(COUPON, up=up)))
    assert made.where(found) == ("000002_add_coupon.up.sql", 9)
    assert found.fix == f"add to 000002_add_coupon.down.sql: DROP FUNCTION {name};"


def test_down_leaves_difference_tells_what_the_second_up_makes_of_it() -> None:
    again = made.step(name="up on leftovers", problem=made.error("42P07", 'relation "idx" already exists'))
    seen = _down(INDEX, again=again)
    assert 'a second up then fails: relation "idx" already exists' in made.only("PMG402", seen).effect
    assert made.findings("PMG407", seen) == []


@pytest.mark.parametrize("name", ["idx_orders_placed_at", "public.idx_orders_placed_at", "orders", "ORDERS"])
def test_down_leaves_difference_accepts_a_declaration(name: str) -> None:
    assert made.findings("PMG402", _down(INDEX, subject=_declaring(name))) == []
    assert made.only("PMG402", _down(INDEX, subject=_declaring("customers")))


def test_down_leaves_difference_counts_roles_and_sequences_moved_back() -> None:
    difference = Difference(
        sequences=(SequenceChange("public.orders_id_seq", SequenceValue(20, True), SequenceValue(1, False)),),
        roles=(made.extra("role", "reporting"),),
    )
    found = made.findings("PMG402", made.clean(COUPON, down=made.step(Direction.DOWN, difference=difference)))
    assert any("role reporting is left" in f.message for f in found)
    assert any("public.orders_id_seq back: 1, was 20" in f.message for f in found)


def test_a_sequence_that_moved_forward_is_no_difference() -> None:
    forward = SequenceChange("public.orders_id_seq", SequenceValue(20, True), SequenceValue(23, True))
    seen = made.clean(COUPON, down=made.step(Direction.DOWN, difference=Difference(sequences=(forward,))))
    assert made.findings("PMG402", seen) == []


def test_blank_down() -> None:
    blank = made.migration(name="add_coupon", up=UP, down=made.script("000002_add_coupon.down.sql"))
    seen = made.clean(blank, down=None, again=None)
    found = made.only("PMG404", seen)
    assert made.where(found) == ("000002_add_coupon.down.sql", 1)
    assert "1 schema changes" in found.message
    assert made.findings("PMG404", replace(seen, changed=Difference())) == []
    declared = replace(blank, up=_declaring().up)
    assert made.findings("PMG404", replace(seen, migration=declared)) == []


MOVED = made.changed("column", "public.orders.coupon", "position", 2, 3, "public.orders")


def test_column_order_changed_is_a_warning_of_its_own() -> None:
    seen = _down(MOVED)
    found = made.only("PMG405", seen)
    assert found.severity is Severity.WARNING
    assert made.where(found) == ("000002_add_coupon.down.sql", 1)
    assert "orders" in found.message
    assert "coupon" in found.message
    assert made.findings("PMG402", seen) == []
    assert made.only("PMG405", seen, strict=True).severity is Severity.ERROR


def test_column_order_is_not_said_beside_another_difference_of_the_table() -> None:
    seen = _down(MOVED, made.extra("column", "public.orders.note", "public.orders"))
    assert made.findings("PMG405", seen) == []
    assert made.findings("PMG405", _down(MOVED, subject=_declaring("orders"))) == []


LABELS = made.changed("type", "public.order_status", "labels", ["open"], ["open", "returned"])


def test_unreturned_label_is_a_warning_and_an_error_when_the_second_up_fails() -> None:
    seen = _down(LABELS)
    found = made.only("PMG410", seen)
    assert found.severity is Severity.WARNING
    assert "public.order_status with the new label 'returned'" in found.message
    assert made.findings("PMG402", seen) == []
    again = made.step(name="up on leftovers", problem=made.error("42710", "label exists"))
    worse = made.only("PMG410", replace(seen, again=again))
    assert worse.severity is Severity.ERROR
    assert "label exists" in worse.message


def test_unreturned_extension() -> None:
    assert "extension citext" in made.only("PMG410", _down(made.extra("extension", "citext"))).message
    assert made.findings("PMG410", _down(LABELS, subject=_declaring("order_status"))) == []


def test_labels_lost_are_no_leftover_but_a_difference() -> None:
    lost = made.changed("type", "public.order_status", "labels", ["open", "paid"], ["open"])
    assert made.findings("PMG410", _down(lost)) == []
    assert made.only("PMG402", _down(lost))


def test_second_up_differs() -> None:
    again = made.step(
        name="up again", difference=Difference(tables=(TableChange("public.orders", 20, 20, ("coupon",)),))
    )
    update = made.said("UPDATE orders SET coupon = random()", 7, "update_stmt", relations=["orders"])
    subject = replace(COUPON, up=made.script("000002_add_coupon.up.sql", *UP.statements, update))
    found = made.only("PMG406", made.clean(subject, again=again))
    assert made.where(found) == ("000002_add_coupon.up.sql", 7)
    assert "public.orders: 20 rows, were 20" in found.message
    assert "coupon" in found.message
    assert made.findings("PMG406", made.clean(COUPON, again=made.step(difference=Difference((MOVED,))))) == []


def test_second_up_fails() -> None:
    problem = made.error("42P07", 'relation "idx_orders_placed_at" already exists', UP.statements[1])
    seen = made.clean(COUPON, again=made.step(name="up again", problem=problem))
    found = made.only("PMG407", seen)
    assert made.where(found) == ("000002_add_coupon.up.sql", 3)
    assert 'relation "idx_orders_placed_at" already exists' in found.message
    assert made.findings("PMG406", seen) == []
