"""What a difference reads like, and the SQL that sets it back."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.model.evidence import ReplicaEvidence
from pytest_pgmigrate.model.finding import Severity
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.model.state import Difference, ObjectChange, RowChange, SequenceChange, SequenceValue, TableChange
from tests.checks import made
from tests.checks.made import changed

ORDERS = "public.orders"


@pytest.mark.parametrize(
    ("change", "says", "fix"),
    [
        (
            changed("column", f"{ORDERS}.total", "not_null", True, False, ORDERS),
            "column public.orders.total: NOT NULL is false, was true",
            "ALTER TABLE public.orders ALTER COLUMN total SET NOT NULL;",
        ),
        (
            changed("constraint", f"{ORDERS} paid", "validated", True, False, ORDERS),
            "constraint public.orders paid: validated is false, was true",
            "ALTER TABLE public.orders VALIDATE CONSTRAINT paid;",
        ),
        (
            changed("constraint", f"{ORDERS} paid", "definition", "CHECK (a > 0)", "CHECK (a > 1)", ORDERS),
            "constraint public.orders paid: definition is CHECK (a > 1), was CHECK (a > 0)",
            "ALTER TABLE public.orders DROP CONSTRAINT paid, ADD CONSTRAINT paid CHECK (a > 0);",
        ),
        (
            changed("trigger", f"{ORDERS} touch", "enabled", "origin", "disabled", ORDERS),
            "trigger public.orders touch is disabled, was enabled",
            "ALTER TABLE public.orders ENABLE TRIGGER touch;",
        ),
        (
            changed("trigger", f"{ORDERS} touch", "enabled", "always", "origin", ORDERS),
            "is enabled, was enabled on replicas too",
            "ENABLE ALWAYS TRIGGER touch;",
        ),
        (
            changed("table", ORDERS, "acl", ("a=arwd/a",), ("a=arwd/a", "=r/a", "bob=w*/a")),
            "PUBLIC may SELECT, could not before; bob may UPDATE WITH GRANT OPTION, could not before",
            "REVOKE SELECT ON TABLE public.orders FROM PUBLIC; REVOKE UPDATE ON TABLE public.orders FROM bob;",
        ),
        (
            changed("sequence", "public.n", "acl", ("a=rwU/a", "bob=U/a"), ("a=rwU/a",)),
            "bob may no more USAGE",
            "GRANT USAGE ON SEQUENCE public.n TO bob;",
        ),
        (
            changed("table", ORDERS, "options", ("fillfactor=80",), ("fillfactor=70", "autovacuum_enabled=false")),
            "storage parameters: fillfactor=70, autovacuum_enabled=false is new, fillfactor=80 is gone",
            "ALTER TABLE public.orders RESET (autovacuum_enabled); ALTER TABLE public.orders SET (fillfactor=80);",
        ),
        (
            changed("table", ORDERS, "replica_identity", "full", "default"),
            "replica identity is default, was full",
            "ALTER TABLE public.orders REPLICA IDENTITY FULL;",
        ),
        (
            changed("table", ORDERS, "row_security", True, False),
            "row level security is false, was true",
            "ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;",
        ),
        (
            changed("table", ORDERS, "persistence", "permanent", "unlogged"),
            "persistence is unlogged, was permanent",
            "ALTER TABLE public.orders SET LOGGED;",
        ),
        (
            changed("sequence", "public.n", "owned_by", f"{ORDERS}.id", None),
            "owned by is not set, was public.orders.id",
            "ALTER SEQUENCE public.n OWNED BY public.orders.id;",
        ),
        (
            changed("role", "bob", "settings", ["work_mem=1MB"], ["statement_timeout=5s"]),
            "settings: statement_timeout=5s is new, work_mem=1MB is gone",
            "ALTER ROLE bob RESET statement_timeout; ALTER ROLE bob SET work_mem = '1MB';",
        ),
        (
            made.extra("setting", "work_mem of the database for role bob"),
            "setting work_mem of the database for role bob is left",
            "ALTER ROLE bob IN DATABASE <its name> RESET work_mem;",
        ),
        (
            changed("function", "public.f()", "definition", "CREATE f\nBEGIN\n  a;\nEND", "CREATE f\nBEGIN\n  b;\nEND"),
            "function public.f(): definition differs in line 3: is b;, was a;",
            "set definition of function public.f() back",
        ),
        (changed("role", "bob", "password", "md5:1", "md5:2"), "role bob: the password is another one", "password"),
        (changed("type", "public.mood", "labels", ("a", "b"), ("a", "c")), "labels: c is new, b is gone", "a, b"),
        (changed("type", "public.mood", "labels", ("a", "b"), ("b", "a")), "labels is b, a, was a, b", "a, b"),
        (made.extra("cast", "a as b"), "cast a as b is left", "take back cast a as b"),
    ],
)
def test_a_difference_in_words_with_its_remedy(change: ObjectChange, says: str, fix: str) -> None:
    found = made.only("PMG402", made.clean(down=made.step(Direction.DOWN, difference=Difference((change,)))))
    assert says in found.message
    assert fix in found.fix


@pytest.mark.parametrize(
    ("change", "says", "fix"),
    [
        (
            changed("constraint", f"{ORDERS} paid", "comment", "it's paid", None, ORDERS),
            "constraint public.orders paid: comment is not set, was 'it's paid'",
            "COMMENT ON CONSTRAINT paid ON public.orders IS 'it''s paid';",
        ),
        (
            changed("column", f"{ORDERS}.total", "statistics", None, 500, ORDERS),
            "statistics target is 500, was not set",
            "ALTER TABLE public.orders ALTER COLUMN total SET STATISTICS -1;",
        ),
    ],
)
def test_comments_and_statistics_targets_are_warnings(change: ObjectChange, says: str, fix: str) -> None:
    seen = made.clean(down=made.step(Direction.DOWN, difference=Difference((change,))))
    found = made.only("PMG412", seen)
    assert found.severity is Severity.WARNING
    assert says in found.message
    assert fix in found.fix
    assert made.findings("PMG402", seen) == []


def test_a_new_owner_is_one_difference() -> None:
    changes = (
        changed("sequence", "public.n", "acl", ("a=rwU/a",), ("b=rwU/b",)),
        changed("sequence", "public.n", "owner", "a", "b"),
        changed("table", ORDERS, "acl", ("a=arwd/a", "=r/a"), ("b=arwd/b", "=r/b")),
        changed("table", ORDERS, "owner", "a", "b"),
    )
    found = made.only("PMG402", made.clean(down=made.step(Direction.DOWN, difference=Difference(changes))))
    assert found.observed["objects"] == ["table public.orders: owner is b, was a"]
    assert found.fix.endswith("ALTER TABLE public.orders OWNER TO a;")


def test_other_privileges_beside_a_new_owner_are_said() -> None:
    changes = (
        changed("table", ORDERS, "acl", ("a=arwd/a",), ("b=arwd/b", "=r/b")),
        changed("table", ORDERS, "owner", "a", "b"),
    )
    found = made.only("PMG402", made.clean(down=made.step(Direction.DOWN, difference=Difference(changes))))
    assert any("PUBLIC may SELECT" in line for line in found.details)


def test_renamed_labels_are_not_said_of_the_rows_too() -> None:
    labels = changed("type", "public.mood", "labels", ("a", "b"), ("a", "c"))
    row = RowChange({"id": "1"}, "changed", {"mood": ("b", "c")})
    other = RowChange({"id": "2"}, "changed", {"mood": ("a", "c")})
    for rows, said in (((row,), 0), ((row, other), 1)):
        change = TableChange(ORDERS, 20, 20, ("mood",), rows)
        down = made.step(Direction.DOWN, difference=Difference((labels,), (change,)))
        assert len(made.findings("PMG403", made.clean(down=down))) == said


def test_a_sequence_behind_its_column_is_said_once() -> None:
    back = SequenceChange("public.orders_id_seq", SequenceValue(20, True), SequenceValue(1, False))
    behind = made.behind("public.orders_id_seq", ORDERS, "id", 1, 1, 20)
    seen = made.clean(down=made.step(Direction.DOWN, difference=Difference(sequences=(back,)), behind=(behind,)))
    assert made.findings("PMG402", seen) == []
    found = made.only("PMG702", seen)
    assert "gives 1 next" in found.message
    assert "SELECT setval('public.orders_id_seq', (SELECT max(id) FROM orders));" in found.fix
    assert "the next INSERT" in found.effect


def test_a_sequence_that_will_be_behind_later_says_when() -> None:
    behind = made.behind("public.orders_id_seq", ORDERS, "id", 21, 500, 500)
    found = made.only("PMG702", made.clean(up=made.step(behind=(behind,))))
    assert "after 479 more INSERTs" in found.effect


def test_rows_that_are_left_say_what_a_second_up_makes_of_them() -> None:
    left, doubled = TableChange(ORDERS, 20, 21), TableChange(ORDERS, 21, 22)
    seen = made.clean(
        down=made.step(Direction.DOWN, difference=Difference((), (left,))),
        again=made.step(name="up on leftovers", difference=Difference((), (doubled,))),
    )
    assert "a second up then inserts 1 row more than the first left" in made.only("PMG402", seen).effect
    assert made.findings("PMG703", seen) == []


def test_rows_of_the_replica_are_shown() -> None:
    row = RowChange({"id": "7"}, "changed", {"total": ("1.0", "2.0")})
    change = TableChange(ORDERS, 20, 20, ("total",), (row,), key=("id",))
    replica = ReplicaEvidence(True, True, 0.1, Difference((), (change,)))
    assert (
        "public.orders row id 7: total was '1.0', is '2.0'" in made.only("PMG501", made.clean(replica=replica)).details
    )
