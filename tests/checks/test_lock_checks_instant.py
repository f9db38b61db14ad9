"""Family 3xx, locks that are taken in an instant, time-outs and writes: from evidence made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Finding, Severity
from pytest_pgmigrate.model.judgement import Judgement
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.state import Difference
from pytest_pgmigrate.model.watch import StatementSeen
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import silence
from tests.checks import made
from tests.checks.made_locks import (
    blocked,
    down,
    exclusive,
    lock,
    seen,
    share_row,
    steps,
    table,
    up,
    update_exclusive,
    writing,
)

USERS, ORDERS, PLANS = table("users"), table("orders"), table("plans")
NEW = table("notes", new=True)
EVENTS = table("events", "partitioned table")
PARTITION = table("events_2024", parents=("public.events",))
ITEMS = table("order_items", referenced=("public.orders",))
ROWS = {"public.users": 20, "public.orders": 20, "public.plans": 20, "public.order_items": 20}
ALTER = "ALTER TABLE users ADD COLUMN phone TEXT"
MINE = [f"PMG{n}" for n in (*range(320, 327), *range(330, 336), 340, 341)]


def altered() -> StatementSeen:
    return seen(ALTER, exclusive(USERS))


def fill() -> StatementSeen:
    return seen("UPDATE users SET phone = ''", writing(USERS), read={USERS: 20}, updated={USERS: 20})


def judged(code: str, evidence: MigrationEvidence, *earlier: Finding, **settings: Any) -> list[Finding]:
    """What one check says, whatever its scope."""
    check = made.CHECKS[code]
    subject: Any = Judgement(evidence, (), True, earlier) if check.scope == "judgement" else evidence
    return list(check.judge(subject, evidence.migration.key, Settings(**settings)))


def said(evidence: MigrationEvidence, **settings: Any) -> set[str]:
    """The codes of this half of the family (time-outs apart) that fire."""
    return {c for c in MINE if c not in ("PMG330", "PMG331") and judged(c, evidence, **settings)}


# Statements that are the one hazard of the code, and what the finding must name.
FIRES: dict[str, tuple[Callable[[], list[StatementSeen]], list[str]]] = {
    "PMG320": (
        lambda: [
            seen(
                "CREATE TABLE notes (id BIGINT PRIMARY KEY, user_id BIGINT NOT NULL REFERENCES users (id))",
                share_row(USERS),
            )
        ],
        [
            "ShareRowExclusiveLock on users",
            "ALTER TABLE notes ADD CONSTRAINT notes_user_id_fkey FOREIGN KEY (user_id) REFERENCES users NOT VALID;",
            "VALIDATE CONSTRAINT notes_user_id_fkey",
        ],
    ),
    "PMG321": (
        lambda: [
            seen(
                "CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
                exclusive(EVENTS),
            )
        ],
        [
            "AccessExclusiveLock on events",
            "CREATE TABLE events_2025 (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS);",
            "ALTER TABLE events ATTACH PARTITION events_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');",
        ],
    ),
    "PMG322": (
        lambda: [seen("ALTER TABLE events DETACH PARTITION events_2024", exclusive(EVENTS), exclusive(PARTITION))],
        ["AccessExclusiveLock on events", "ALTER TABLE events DETACH PARTITION events_2024 CONCURRENTLY;"],
    ),
    "PMG323": (
        lambda: [seen("DROP TABLE orders", exclusive(ORDERS))],
        ["DROP TABLE orders removes orders with 20 rows", "irreversible[orders]", "RENAME TO orders_old;"],
    ),
    "PMG324": (
        lambda: [seen("ALTER TABLE orders DISABLE TRIGGER ALL", share_row(ORDERS))],
        ["all triggers of orders", "foreign keys", "ALTER TABLE orders DISABLE TRIGGER"],
    ),
    "PMG325": (
        lambda: [seen("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", exclusive(ORDERS))],
        ["row level security is enabled on orders", "CREATE POLICY orders_all ON orders USING (true);"],
    ),
    "PMG326": (
        lambda: [seen("LOCK TABLE orders", exclusive(ORDERS))],
        ["AccessExclusiveLock on orders", "LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE;"],
    ),
    "PMG332": (
        lambda: [
            altered(),
            seen("CREATE TABLE notes AS SELECT * FROM orders", read={ORDERS: 20}, inserted={NEW: 20}),
        ],
        ["reads 20 rows of orders", "AccessExclusiveLock on users is held since line 1", f"{ALTER};"],
    ),
    "PMG333": (
        lambda: [altered(), seen("ALTER TABLE orders ADD COLUMN note TEXT", exclusive(ORDERS))],
        [
            "2 tables",
            "AccessExclusiveLock on orders under AccessExclusiveLock on users, held since line 1",
            "line 2: AccessExclusiveLock on orders",
            f"{ALTER}; | ALTER TABLE orders ADD COLUMN note TEXT;",
        ],
    ),
    "PMG334": (
        lambda: [
            seen("ALTER TABLE users ALTER email SET NOT NULL", exclusive(USERS), read={USERS: 20}),
            seen("ALTER TABLE ONLY users ALTER name SET NOT NULL;", exclusive(USERS), read={USERS: 20}),
        ],
        ["lines 1, 2", "ALTER TABLE users ALTER email SET NOT NULL, ALTER name SET NOT NULL;"],
    ),
    "PMG335": (
        lambda: [
            seen(
                "CREATE INDEX CONCURRENTLY i ON users (email)",
                update_exclusive(USERS),
                settings={"lock_timeout": "5s"},
                stops=3,
            )
        ],
        ["lock_timeout = 5 s (set by the migration)", "INVALID", "SET lock_timeout = 0;"],
    ),
    "PMG340": (
        lambda: [fill()],
        [
            "writes all 20 rows of users",
            "DO $$ BEGIN LOOP UPDATE users SET phone = '' WHERE ctid = ANY (ARRAY(SELECT ctid FROM users "
            "WHERE phone IS DISTINCT FROM '' LIMIT 10000)); EXIT WHEN NOT FOUND; COMMIT; END LOOP; END $$;",
        ],
    ),
    "PMG341": (
        lambda: [altered(), fill()],
        ["writes 20 rows of users", "AccessExclusiveLock on users is held since line 1", "UPDATE users SET phone = ''"],
    ),
}
FIXED = ("PMG323", "PMG325")
"""About the up alone, whatever the down does."""


def _everything(finding: Finding) -> str:
    return "\n".join([finding.message, finding.effect, finding.fix, *finding.details])


@pytest.mark.parametrize("code", FIRES)
def test_fires_alone_and_in_the_users_names(code: str) -> None:
    statements, wording = FIRES[code]
    evidence = up(*statements(), rows_before=ROWS)
    (found,) = judged(code, evidence)
    assert found.severity is made.CHECKS[code].severity
    assert [words for words in wording if words not in _everything(found)] == [], _everything(found)
    assert found.place.file.endswith("000002_change.up.sql")
    assert found.place.line == len(statements())
    assert said(evidence) == {code}


@pytest.mark.parametrize("code", FIRES)
def test_in_a_down_at_most_a_warning(code: str) -> None:
    found = judged(code, down(*FIRES[code][0](), rows_before=ROWS))
    assert [f.severity for f in found] == ([] if code in FIXED else [Severity.WARNING])


@pytest.mark.parametrize("code", [c for c in FIRES if c not in ("PMG323", "PMG324", "PMG325")])
def test_exempt_where_all_tables_are_known_to_be_small(code: str) -> None:
    small = dict.fromkeys([*ROWS, "public.events", "public.events_2024"], 250)
    evidence = up(*FIRES[code][0](), rows_before=ROWS, production_rows=small)
    assert judged(code, evidence) == []
    assert len(judged(code, evidence, max_blocked_rows=249)) == 1


@pytest.mark.parametrize("code", FIRES)
def test_a_failed_statement_is_no_second_finding(code: str) -> None:
    statements = FIRES[code][0]()
    last = statements[-1]
    failed = StatementSeen(
        last.statement, -1, last.transaction, failed=True, counts=last.counts, settings=last.settings
    )
    assert judged(code, down(*statements[:-1], failed, rows_before=ROWS)) == []


SILENT: dict[str, Callable[[], list[StatementSeen]]] = {
    "a plain ADD COLUMN": lambda: [altered()],
    "CREATE TRIGGER": lambda: [
        seen("CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f()", share_row(USERS))
    ],
    "a foreign key NOT VALID": lambda: [
        seen(
            "ALTER TABLE orders ADD CONSTRAINT k FOREIGN KEY (user_id) REFERENCES users NOT VALID",
            share_row(ORDERS),
            share_row(USERS),
        )
    ],
    "a foreign key that scans belongs to PMG310": lambda: [
        seen(
            "ALTER TABLE orders ADD CONSTRAINT k FOREIGN KEY (user_id) REFERENCES users",
            share_row(ORDERS),
            share_row(USERS),
            read={ORDERS: 20, USERS: 20},
        )
    ],
    "two statements about one table": lambda: [altered(), seen("ALTER TABLE users ADD COLUMN city TEXT")],
    "two tables in two transactions": lambda: [
        altered(),
        seen("ALTER TABLE orders ADD COLUMN note TEXT", exclusive(ORDERS), transaction=1),
    ],
    "a lock that nobody waits for, then another table": lambda: [
        seen("ALTER TABLE users VALIDATE CONSTRAINT c", update_exclusive(USERS), read={USERS: 20}),
        seen("ALTER TABLE orders ADD COLUMN note TEXT", exclusive(ORDERS)),
    ],
    "reading before locking": lambda: [
        seen("CREATE TABLE notes AS SELECT * FROM orders", read={ORDERS: 20}, inserted={NEW: 20}),
        altered(),
    ],
    "literal rows look up a key under a lock": lambda: [
        altered(),
        seen("CREATE TABLE notes (id BIGINT)"),
        seen("INSERT INTO notes SELECT 1", read={PLANS: 20}, inserted={NEW: 1}),
    ],
    "literal rows into a new table": lambda: [
        altered(),
        seen("INSERT INTO notes VALUES (1)", read={ORDERS: 20}, inserted={NEW: 1}),
    ],
    "a few rows of a table": lambda: [
        seen("DELETE FROM users WHERE id < 3", writing(USERS), read={USERS: 20}, deleted={USERS: 2})
    ],
    "a new table filled": lambda: [seen("INSERT INTO notes SELECT * FROM users", read={USERS: 20}, inserted={NEW: 20})],
    "a batching DO": lambda: [
        seen(
            "DO $$ BEGIN LOOP UPDATE users SET phone = ''; COMMIT; END LOOP; END $$",
            updated={USERS: 20},
            stops=4,
        )
    ],
    "LOCK TABLE in a mode that blocks nobody": lambda: [
        seen("LOCK TABLE users IN SHARE UPDATE EXCLUSIVE MODE", update_exclusive(USERS))
    ],
    "ATTACH PARTITION": lambda: [
        seen(
            "ALTER TABLE events ATTACH PARTITION events_2025 FOR VALUES FROM (1) TO (2)",
            update_exclusive(EVENTS),
        )
    ],
    "DETACH PARTITION CONCURRENTLY": lambda: [
        seen(
            "ALTER TABLE events DETACH PARTITION events_2024 CONCURRENTLY",
            exclusive(PARTITION),
            update_exclusive(EVENTS),
        )
    ],
    "a policy in the same migration": lambda: [
        seen("CREATE POLICY p ON orders USING (true)", exclusive(ORDERS)),
        seen("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", exclusive(ORDERS)),
    ],
    "row security and triggers of a new table": lambda: [
        seen("ALTER TABLE notes ENABLE ROW LEVEL SECURITY"),
        seen("ALTER TABLE notes DISABLE TRIGGER ALL"),
    ],
    "a new table dropped": lambda: [seen("DROP TABLE IF EXISTS notes")],
    "REFRESH CONCURRENTLY without a limit": lambda: [
        seen(
            "REFRESH MATERIALIZED VIEW CONCURRENTLY totals",
            lock(table("totals", "materialized view"), Mode.EXCLUSIVE),
            settings={"statement_timeout": "0", "lock_timeout": "5s"},
        )
    ],
    "VALIDATE under a short lock_timeout": lambda: [
        seen(
            "ALTER TABLE users VALIDATE CONSTRAINT c",
            update_exclusive(USERS),
            read={USERS: 20},
            settings={"lock_timeout": "2s"},
        )
    ],
    "two foreign keys in two passes": lambda: [
        seen("ALTER TABLE users VALIDATE CONSTRAINT a", update_exclusive(USERS), read={USERS: 20}),
        seen("ALTER TABLE users VALIDATE CONSTRAINT b", update_exclusive(USERS), read={USERS: 20}),
    ],
}


@pytest.mark.parametrize("name", SILENT)
def test_silent(name: str) -> None:
    assert said(up(*SILENT[name](), rows_before=ROWS)) == set()


# -- foreign keys and removed tables ------------------------------------------------------------------------------------


def test_dropping_a_table_locks_the_one_it_refers_to() -> None:
    evidence = up(seen("DROP TABLE order_items", exclusive(ITEMS), exclusive(ORDERS)), rows_before=ROWS)
    (found,) = judged("PMG320", evidence)
    assert "AccessExclusiveLock on orders" in found.message
    (gone,) = judged("PMG323", evidence)
    assert gone.observed["tables"] == ["public.order_items"]


def test_dropping_a_foreign_key_locks_both() -> None:
    evidence = up(seen("ALTER TABLE order_items DROP CONSTRAINT k", exclusive(ITEMS), exclusive(ORDERS)))
    (found,) = judged("PMG320", evidence)
    assert found.observed["tables"] == ["public.orders"]
    assert said(evidence) == {"PMG320"}


def test_a_down_that_goes_back_the_way_of_its_up_says_nothing_new() -> None:
    create = seen("CREATE TABLE notes (user_id BIGINT REFERENCES users)", share_row(USERS))
    drop = seen("DROP TABLE notes", exclusive(table("notes", referenced=("public.users",))), exclusive(USERS))
    assert [f.place.file[-6:] for f in judged("PMG320", steps([create], [drop]))] == ["up.sql"]
    both = [altered(), seen("ALTER TABLE orders ADD COLUMN note TEXT", exclusive(ORDERS))]
    back = [
        seen("ALTER TABLE orders DROP COLUMN note", exclusive(ORDERS)),
        seen("ALTER TABLE users DROP COLUMN phone", exclusive(USERS)),
    ]
    assert [f.severity for f in judged("PMG333", steps(both, back))] == [Severity.ERROR]
    assert [f.severity for f in judged("PMG333", steps([], back))] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("CREATE TABLE notes (a INT, b NUMERIC(3, 1), -- one, two\n owner BIGINT NOT NULL REFERENCES users)", "owner"),
        ("CREATE TABLE notes (a INT, b INT, FOREIGN KEY (a, b) REFERENCES public.users (x, y))", "a, b"),
        ("ALTER TABLE notes ADD COLUMN owner BIGINT REFERENCES users", "owner"),
    ],
)
def test_the_advice_names_the_columns(sql: str, columns: str) -> None:
    (found,) = judged("PMG320", up(seen(sql, share_row(USERS))))
    assert f"FOREIGN KEY ({columns}) REFERENCES users NOT VALID" in found.fix


def test_truncate_names_what_cascade_reached() -> None:
    statement = seen("TRUNCATE orders CASCADE", exclusive(ORDERS), exclusive(ITEMS), emptied=(ITEMS, ORDERS))
    (found,) = judged("PMG323", up(statement, rows_before=ROWS, production_rows={"public.orders": 4_000_000}))
    assert "empties orders with 20 rows (4,000,000 in production) and 1 more" in found.message
    assert any("order_items" in line for line in found.details)


def test_a_schema_is_all_its_tables() -> None:
    first, second = table("app.carts"), table("app.lines")
    (found,) = judged(
        "PMG323", up(seen("DROP SCHEMA app CASCADE", exclusive(first), exclusive(second), exclusive(USERS)))
    )
    assert found.observed["tables"] == ["app.carts", "app.lines"]


def test_a_table_dropped_inside_a_block_is_seen() -> None:
    evidence = up(
        seen("DO $$ BEGIN EXECUTE 'DROP TABLE orders'; END $$", exclusive(ORDERS)),
        changed=Difference((made.missing("table", "public.orders"),)),
    )
    assert len(judged("PMG323", evidence)) == 1


def test_declared_irreversible_is_no_finding() -> None:
    drop = made.said("DROP TABLE orders", 1, "DROP TABLE", relations=["orders"])
    for names, count in ((("orders",), 0), ((), 0), (("users",), 1)):
        declared = made.script("000002_change.up.sql", drop, directives=[made.directive("irreversible", *names)])
        evidence = up(seen("DROP TABLE orders", exclusive(ORDERS)))
        subject = made.migration(name="change", up=declared)
        assert len(judged("PMG323", made.clean(subject, up=evidence.up))) == count, names


# -- triggers -----------------------------------------------------------------------------------------------------------


def test_session_replication_role_is_told_once_where_it_is_set() -> None:
    replica = {"session_replication_role": "replica"}
    evidence = up(
        seen("SET LOCAL session_replication_role = replica"),
        seen("INSERT INTO orders VALUES (1)", writing(ORDERS), inserted={ORDERS: 1}, settings=replica),
        seen("INSERT INTO orders VALUES (2)", writing(ORDERS), inserted={ORDERS: 1}, settings=replica),
    )
    (found,) = judged("PMG324", evidence)
    assert made.where(found) == ("000002_change.up.sql", 1)
    assert "INSERT INTO orders VALUES (1)" in found.message


def test_one_trigger_by_name_leaves_foreign_keys_alone() -> None:
    (found,) = judged("PMG324", up(seen("ALTER TABLE orders DISABLE TRIGGER audit", share_row(ORDERS))))
    assert found.observed["foreign_keys"] is False
    assert "ALTER TABLE orders ENABLE TRIGGER audit;" in found.fix


# -- what is done under a lock ------------------------------------------------------------------------------------------


def test_lock_table_is_named_by_what_is_done_under_it() -> None:
    evidence = up(seen("LOCK TABLE users IN EXCLUSIVE MODE", lock(USERS, Mode.EXCLUSIVE)), fill(), rows_before=ROWS)
    assert said(evidence) == {"PMG341"}
    small = up(
        seen("LOCK TABLE users IN SHARE MODE", lock(USERS, Mode.SHARE)),
        seen("SELECT count(*) FROM orders", read={ORDERS: 20}),
        rows_before=ROWS,
    )
    assert said(small) == {"PMG332"}


@pytest.mark.parametrize(
    ("sql", "severity"),
    [
        ("INSERT INTO plans (name) VALUES ('Team')", Severity.WARNING),
        ("INSERT INTO plans SELECT name FROM users", Severity.ERROR),
        ("WITH a AS (SELECT 1) INSERT INTO plans SELECT * FROM a", Severity.ERROR),
    ],
)
def test_literal_rows_under_a_lock_are_a_warning(sql: str, severity: Severity) -> None:
    (found,) = judged("PMG341", up(altered(), seen(sql, writing(PLANS), inserted={PLANS: 1})))
    assert found.severity is severity
    assert "rows of plans" in found.message or "1 row of plans" in found.message


def test_the_lock_may_be_on_another_table_than_the_rows() -> None:
    write = seen("DELETE FROM orders", writing(ORDERS), read={ORDERS: 20}, deleted={ORDERS: 20})
    evidence = up(altered(), write, rows_before=ROWS)
    (found,) = judged("PMG341", evidence)
    assert (found.observed["written"], found.observed["relation"]) == ("public.orders", "public.users")
    assert said(evidence) == {"PMG341"}
    # What takes long are the rows of orders; how few users has does not matter.
    assert said(up(altered(), write, rows_before=ROWS, production_rows={"public.users": 5})) == {"PMG341"}


def test_what_waited_is_told() -> None:
    insert = blocked("INSERT into public.users", USERS, Mode.ROW_EXCLUSIVE, Mode.ACCESS_EXCLUSIVE)
    write = seen("UPDATE users SET phone = ''", updated={USERS: 20}, blocked=(insert,))
    (found,) = judged("PMG341", up(altered(), write))
    assert any("INSERT into users waited" in line for line in found.details)


def test_a_scan_of_a_locked_table_belongs_to_the_other_half() -> None:
    index = seen("CREATE INDEX i ON orders (note)", lock(ORDERS, Mode.SHARE), read={ORDERS: 20})
    assert said(up(altered(), index, rows_before=ROWS)) == {"PMG333"}


def test_a_block_that_reads_one_table_before_it_locks_it_still_holds_the_other() -> None:
    block = "DO $$ BEGIN PERFORM count(*) FROM orders; ALTER TABLE orders ADD COLUMN b INT; END $$"
    evidence = up(altered(), seen(block, exclusive(ORDERS), read={ORDERS: 20}), rows_before=ROWS)
    assert said(evidence) == {"PMG332"}, "one finding that names both tables"


def test_a_lock_that_grew_is_held_since_it_first_kept_anybody_out() -> None:
    trigger = seen("CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f()", share_row(USERS))
    (found,) = judged("PMG341", up(trigger, altered(), fill()))
    assert "AccessExclusiveLock on users is held since line 1" in found.message


def test_nobody_waits_to_write_a_materialized_view() -> None:
    totals = table("totals", "materialized view")
    refresh = seen("REFRESH MATERIALIZED VIEW CONCURRENTLY totals", lock(totals, Mode.EXCLUSIVE))
    assert said(up(refresh, altered())) == set()
    whole = seen("DROP MATERIALIZED VIEW totals", exclusive(totals))
    assert said(up(whole, altered())) == {"PMG333"}


def test_a_scan_for_a_small_table_is_still_a_scan() -> None:
    copy = seen("INSERT INTO plans SELECT name FROM users", writing(PLANS), read={USERS: 20}, inserted={PLANS: 20})
    assert said(up(altered(), copy, rows_before=ROWS)) == {"PMG341"}
    assert said(up(altered(), copy, rows_before=ROWS, production_rows={"public.plans": 5})) == {"PMG332"}


def test_a_foreign_keys_two_tables_are_one_request() -> None:
    add = seen("ALTER TABLE orders ADD FOREIGN KEY (a) REFERENCES users NOT VALID", share_row(ORDERS), share_row(USERS))
    assert said(up(add)) == set()
    assert said(up(add, seen("ALTER TABLE orders ADD COLUMN b INT", exclusive(ORDERS)))) == set()
    assert said(up(add, seen("ALTER TABLE plans ADD COLUMN b INT", exclusive(PLANS)))) == {"PMG333"}


def test_tables_that_go_away_are_in_no_order() -> None:
    drops = [
        seen("DROP TABLE order_items", exclusive(ITEMS), exclusive(ORDERS)),
        seen("DROP TABLE plans", exclusive(PLANS)),
    ]
    assert judged("PMG333", down(*drops)) == []
    assert len(judged("PMG333", down(*drops, seen("DROP INDEX i", exclusive(USERS))))) == 1


def test_a_lock_that_a_savepoint_gave_back_is_not_held() -> None:
    evidence = up(altered(), seen("ROLLBACK TO a"), seen("ALTER TABLE orders ADD COLUMN b INT", exclusive(ORDERS)))
    assert said(evidence) == {"PMG333"}
    assert evidence.up is not None
    first, rollback, last = evidence.up.watched
    kept = tuple(held for held in last.held if held.relation is ORDERS)
    after = replace(evidence.up, watched=(first, rollback, replace(last, held=kept)))
    assert said(replace(evidence, up=after)) == set()


def test_several_tables_are_one_finding_in_their_order() -> None:
    changes = [seen(f"ALTER TABLE {t.name} ADD COLUMN a INT", exclusive(t)) for t in (USERS, PLANS, ORDERS)]
    (found,) = judged("PMG333", up(*changes))
    assert found.observed["tables"] == ["public.users", "public.plans", "public.orders"]
    one_large = up(*changes, production_rows={"public.users": 5, "public.plans": 5})
    assert len(judged("PMG333", one_large)) == 1


# -- time-outs ----------------------------------------------------------------------------------------------------------

OFF = {"lock_timeout": "0", "statement_timeout": "0"}
SHORT = {"lock_timeout": "5s", "statement_timeout": "20s"}
SAME = {"lock_timeout": "30s", "statement_timeout": "1min"}


@pytest.mark.parametrize("code", ["PMG330", "PMG331"])
@pytest.mark.parametrize(
    ("statements", "line"),
    [
        ([seen(ALTER, exclusive(USERS))], 1),
        ([seen("SELECT 1"), seen(ALTER, exclusive(USERS))], 2),
        ([seen(ALTER, exclusive(USERS), settings=OFF)], 1),
        ([seen(ALTER, exclusive(USERS), settings=SHORT)], 0),
        # SET LOCAL ends with its transaction.
        ([seen(ALTER, exclusive(USERS), settings=SHORT), seen(ALTER, exclusive(USERS), transaction=1)], 2),
        ([seen("CREATE INDEX CONCURRENTLY i ON users (email)", exclusive(USERS))], 0),
        ([seen("VACUUM FULL users", exclusive(USERS))], 0),
        ([seen("UPDATE users SET a = 1", writing(USERS))], 0),
        ([seen("ALTER TABLE users VALIDATE CONSTRAINT c", update_exclusive(USERS))], 0),
        ([seen("CREATE TABLE notes (id INT)")], 0),
        # As long as our own guard, but on purpose.
        (
            [
                seen("SET LOCAL lock_timeout = '30s'"),
                seen("SET LOCAL statement_timeout = '1min'"),
                seen(ALTER, exclusive(USERS), settings=SAME),
            ],
            0,
        ),
    ],
)
def test_missing_timeout(code: str, statements: list[StatementSeen], line: int) -> None:
    found = judged(code, up(*statements))
    assert [f.place.line for f in found] == ([line] if line else [])
    assert judged(code, down(*statements)) == []


@pytest.mark.parametrize(("code", "name"), [("PMG330", "lock_timeout"), ("PMG331", "statement_timeout")])
def test_missing_timeout_once_a_history_and_never_with_a_declared_runner(code: str, name: str) -> None:
    evidence = up(altered())
    (first,) = judged(code, evidence)
    assert name in first.message
    assert f"SET LOCAL {name}" in first.fix
    assert judged(code, evidence, first) == []
    ignored = silence(first, "a maintenance window")
    assert len(judged(code, evidence, ignored)) == 1, "said to nobody yet"
    assert judged(code, evidence, **{f"runner_{name}": 5.0}) == []
    # With another guard, the 30 seconds and the minute are the migration's own.
    assert judged(code, evidence, **{name: 17.0}) == []


def test_missing_timeout_knows_the_guard_however_the_server_prints_it() -> None:
    for shown, guard in (("90s", 90.0), ("2min", 120.0), ("1500ms", 1.5), ("1h", 3600.0), ("1d", 86400.0)):
        evidence = up(seen(ALTER, exclusive(USERS), settings={"lock_timeout": shown}))
        assert len(judged("PMG330", evidence, lock_timeout=guard)) == 1, shown
        assert judged("PMG330", evidence, lock_timeout=guard + 1) == [], shown


@pytest.mark.parametrize(
    ("sql", "settings", "expected"),
    [
        ("CREATE INDEX CONCURRENTLY i ON users (a)", {"lock_timeout": "10s", "statement_timeout": "0"}, []),
        ("CREATE INDEX CONCURRENTLY i ON users (a)", {"lock_timeout": "9s"}, ["lock_timeout"]),
        ("CREATE INDEX CONCURRENTLY i ON users (a)", SHORT, ["lock_timeout", "statement_timeout"]),
        ("REINDEX INDEX CONCURRENTLY i", {"statement_timeout": "20s"}, ["statement_timeout"]),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY m", SHORT, ["statement_timeout"]),
        ("ALTER TABLE users VALIDATE CONSTRAINT c", SHORT, ["statement_timeout"]),
        ("CREATE INDEX i ON users (a)", SHORT, []),
        ("CREATE INDEX CONCURRENTLY i ON users (a)", {}, []),
    ],
)
def test_short_timeout(sql: str, settings: dict[str, str], expected: list[str]) -> None:
    found = judged("PMG335", up(seen(sql, update_exclusive(USERS), settings=settings)))
    assert [name for f in found for name in SHORT if name in f.observed] == expected


def test_short_timeout_of_the_declared_runner_counts_unless_the_migration_sets_its_own() -> None:
    sql = "CREATE INDEX CONCURRENTLY i ON users (a)"
    (found,) = judged("PMG335", up(seen(sql)), runner_lock_timeout=5.0)
    assert "set by the runner" in found.message
    own = up(seen("SET lock_timeout = 0"), seen(sql, settings={"lock_timeout": "0"}, transaction=1))
    assert judged("PMG335", own, runner_lock_timeout=5.0) == []


# -- unbatched writes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "most", "known", "expected"),
    [
        (20, None, None, Severity.WARNING),
        (18, None, None, Severity.WARNING),
        (17, None, None, None),
        (20, None, 400_000_000, Severity.WARNING),
        (20, 1000, 400_000_000, Severity.ERROR),
        (20, 1000, 900, None),
        (20, 1000, None, Severity.WARNING),
        (20, 19, None, Severity.ERROR),
        (5, 4, 900, Severity.ERROR),
        (5, 5, None, None),
    ],
)
def test_unbatched_write(written: int, most: int | None, known: int | None, expected: Severity | None) -> None:
    write = seen("DELETE FROM users WHERE id > 0", read={USERS: 20}, deleted={USERS: written})
    production = {} if known is None else {"public.users": known}
    found = judged("PMG340", up(write, rows_before=ROWS, production_rows=production), max_rows_per_statement=most)
    assert [f.severity for f in found] == ([] if expected is None else [expected])


def test_unbatched_write_needs_rows_to_say_anything() -> None:
    assert judged("PMG340", up(fill(), rows_before={"public.users": 4})) == []


@pytest.mark.parametrize(
    ("sql", "batch"),
    [
        ("UPDATE users SET a = 1 WHERE b", "WHERE (b) AND a IS DISTINCT FROM 1 LIMIT"),
        ("UPDATE users SET a = upper(b || 'x,y')", "WHERE a IS DISTINCT FROM (upper(b || 'x,y')) LIMIT"),
        ("DELETE FROM users", "SELECT ctid FROM users WHERE true LIMIT"),
        # When these are done cannot be told from the rows: no loop that never ends is advised.
        ("UPDATE users SET a = a + 1", ""),
        ("UPDATE users SET a = now()", ""),
        ("UPDATE users SET a = 1, b = 2", ""),
        ("UPDATE users SET a = p.a FROM plans p WHERE p.id = users.plan", ""),
    ],
)
def test_batches_are_advised_where_their_end_is_known(sql: str, batch: str) -> None:
    (found,) = judged("PMG340", up(seen(sql, updated={USERS: 20}), rows_before=ROWS))
    assert ("LOOP" in found.fix) is bool(batch)
    assert batch in found.fix
