"""PMG301 to PMG314: work under a blocking lock, judged from evidence made by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from pytest_pgmigrate.checks._hazards import claimed, hazards
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Finding, Severity
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.state import Difference
from pytest_pgmigrate.model.watch import Scaled, StatementSeen
from tests.checks import made
from tests.checks.made_locks import (
    blocked,
    down,
    exclusive,
    index,
    lock,
    seen,
    share,
    share_row,
    steps,
    table,
    up,
    update_exclusive,
    writing,
)

WORK = [f"PMG{number}" for number in range(301, 315)]
USERS, ORDERS, NEW = table("users"), table("orders"), table("sums", new=True)
PARENT = table("events", "partitioned table")
P1, P2 = (table(name, parents=("public.events",)) for name in ("events_1", "events_2"))
VIEW = table("totals", "materialized view")
EMAIL = index("users_email", USERS)
ROWS = {"public.users": 20, "public.orders": 20, "public.events_1": 20, "public.events_2": 20, "public.totals": 5}
ALTER = seen("ALTER TABLE users ADD COLUMN note text", exclusive(USERS))


def built(name: str, on: Any = USERS) -> Any:
    return index(name, on, new=True)


def said(evidence: MigrationEvidence, **settings: Any) -> list[Finding]:
    """What all checks of this file say together."""
    return [finding for code in WORK for finding in made.findings(code, evidence, **settings)]


def one(evidence: MigrationEvidence, code: str, **settings: Any) -> Finding:
    """The only finding of all checks of this file: no work is reported twice."""
    found = said(evidence, **settings)
    assert [f.code for f in found] == [code], [(f.code, f.message) for f in found]
    assert found[0].effect
    assert found[0].fix
    return found[0]


@dataclass(frozen=True)
class Case:
    """Statements, the last of which is the hazard; words that message and fix must say."""

    code: str
    statements: tuple[StatementSeen, ...]
    message: str
    fix: str


def case(code: str, *statements: StatementSeen, message: str, fix: str) -> Any:
    return pytest.param(Case(code, statements, message, fix), id=f"{code}-{statements[-1].statement.text[:60]}")


HAZARDS = [
    case(
        "PMG301",
        seen("CREATE INDEX i ON users (email)", share(USERS), read={USERS: 20}, built=[built("i")]),
        message="CREATE INDEX read all 20 rows of users while it held ShareLock",
        fix="CREATE INDEX CONCURRENTLY i ON users (email);",
    ),
    case(
        "PMG301",
        seen("CREATE UNIQUE INDEX i ON users (email) -- all\n", share(USERS), read={USERS: 20}, built=[built("i")]),
        message="read all 20 rows of users",
        fix="CREATE UNIQUE INDEX CONCURRENTLY i ON users (email);",
    ),
    case(
        "PMG301",
        seen(
            "CREATE INDEX i ON events (at)",
            share(PARENT),
            share(P1),
            share(P2),
            read={P1: 20, P2: 20},
            built=[index("i", PARENT, new=True), built("i1", P1), built("i2", P2)],
        ),
        message="read all 20 rows of events_1 and all 20 rows of events_2",
        fix="CREATE INDEX i ON ONLY events (at); CREATE INDEX CONCURRENTLY events_1_i ON events_1 (at); "
        "ALTER INDEX i ATTACH PARTITION events_1_i;",
    ),
    case(
        "PMG301",
        seen(
            "DO $$ BEGIN EXECUTE 'CREATE INDEX i ON users (email)'; END $$",
            share(USERS),
            read={USERS: 20},
            built=[built("i")],
        ),
        message="this DO block read all 20 rows of users",
        fix="build i in a migration of its own",
    ),
    case(
        "PMG303",
        seen("REINDEX INDEX users_email", share(USERS), exclusive(EMAIL), read={USERS: 20}, rebuilt=(EMAIL,)),
        message="building users_email anew read all 20 rows of users",
        fix="REINDEX INDEX CONCURRENTLY users_email;",
    ),
    case(
        "PMG303",
        seen("REINDEX (VERBOSE) TABLE users", share(USERS), exclusive(EMAIL), read={USERS: 20}, rebuilt=(EMAIL,)),
        message="read all 20 rows of users",
        fix="REINDEX (VERBOSE) TABLE CONCURRENTLY users;",
    ),
    case(
        "PMG305",
        seen(
            "ALTER TABLE users ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid()",
            exclusive(USERS),
            read={USERS: 40},
            rewritten=(USERS,),
            rebuilt=(EMAIL,),
        ),
        message="ADD COLUMN token rewrote all 20 rows of users while it held AccessExclusiveLock",
        fix="ALTER TABLE users ADD COLUMN token uuid; ALTER TABLE users ALTER COLUMN token SET DEFAULT gen_random_uuid();",
    ),
    case(
        "PMG305",
        seen("ALTER TABLE users ADD number bigserial", exclusive(USERS), read={USERS: 20}, rewritten=(USERS,)),
        message="ADD COLUMN number rewrote",
        fix="ALTER TABLE users ADD COLUMN number bigint; CREATE SEQUENCE users_number_seq OWNED BY users.number; "
        "ALTER TABLE users ALTER COLUMN number SET DEFAULT nextval('users_number_seq');",
    ),
    case(
        "PMG305",
        seen(
            "ALTER TABLE users ADD COLUMN n bigint GENERATED ALWAYS AS IDENTITY",
            exclusive(USERS),
            read={USERS: 20},
            rewritten=(USERS,),
        ),
        message="ADD COLUMN n rewrote",
        fix="ADD COLUMN n bigint; CREATE SEQUENCE users_n_seq",
    ),
    case(
        "PMG305",
        seen(
            "ALTER TABLE users ADD COLUMN small text GENERATED ALWAYS AS (lower(email)) STORED",
            exclusive(USERS),
            read={USERS: 20},
            rewritten=(USERS,),
        ),
        message="ADD COLUMN small rewrote",
        fix="ALTER TABLE users ADD COLUMN small text GENERATED ALWAYS AS (lower(email)) VIRTUAL;",
    ),
    case(
        "PMG306",
        seen("ALTER TABLE users ALTER id TYPE bigint", exclusive(USERS), read={USERS: 40}, rewritten=(USERS,)),
        message="the new type of id rewrote all 20 rows of users",
        fix="ALTER TABLE users ADD COLUMN id_new bigint;",
    ),
    case(
        "PMG306",
        seen(
            'ALTER TABLE users ALTER email TYPE text COLLATE "C"',
            exclusive(USERS),
            read={USERS: 20},
            built=[built("users_email")],
        ),
        message="the new type of email read all 20 rows of users",
        fix="DROP INDEX CONCURRENTLY for users_email",
    ),
    case(
        "PMG307",
        seen(
            "VACUUM FULL users",
            lock(USERS, Mode.ACCESS_EXCLUSIVE, source="internal commit", stop=1),
            rewritten=(USERS,),
            rebuilt=(EMAIL,),
            stops=1,
        ),
        message="VACUUM FULL rewrote all 20 rows of users",
        fix="VACUUM users;",
    ),
    case(
        "PMG307",
        seen("VACUUM FULL users", rewritten=(USERS,)),
        message="rewrote all 20 rows of users while it held AccessExclusiveLock",
        fix="VACUUM users;",
    ),
    case(
        "PMG307",
        seen("CLUSTER users USING users_email", exclusive(USERS), read={USERS: 20}, rewritten=(USERS,)),
        message="CLUSTER rewrote",
        fix="pg_repack --table=users --order-by",
    ),
    case(
        "PMG307",
        seen("ALTER TABLE users SET UNLOGGED", exclusive(USERS), read={USERS: 20}, rewritten=(USERS,)),
        message="SET UNLOGGED rewrote",
        fix="leave users logged",
    ),
    case(
        "PMG307",
        seen(
            "DO $$ BEGIN ALTER TABLE users ALTER id TYPE bigint; END $$",
            exclusive(USERS),
            read={USERS: 20},
            rewritten=(USERS,),
        ),
        message="this DO block rewrote all 20 rows of users",
        fix="what writes users anew",
    ),
    case(
        "PMG307",
        seen(
            "ALTER INDEX users_email SET TABLESPACE fast",
            exclusive(EMAIL),
            lock(USERS, Mode.ACCESS_SHARE),
            rebuilt=(EMAIL,),
        ),
        message="SET TABLESPACE copied an index of all 20 rows of users",
        fix="REINDEX (TABLESPACE fast) INDEX CONCURRENTLY users_email;",
    ),
    case(
        "PMG308",
        seen("ALTER TABLE users ALTER COLUMN email SET NOT NULL", exclusive(USERS), read={USERS: 20}),
        message="NOT NULL read all 20 rows of users",
        fix="ALTER TABLE users ADD CONSTRAINT users_email_not_null CHECK (email IS NOT NULL) NOT VALID;",
    ),
    case(
        "PMG308",
        seen("ALTER TABLE users ADD CONSTRAINT n NOT NULL email", exclusive(USERS), read={USERS: 20}),
        message="NOT NULL read",
        fix="ADD CONSTRAINT users_email_not_null NOT NULL email NOT VALID;",
    ),
    case(
        "PMG309",
        seen("ALTER TABLE users ADD CONSTRAINT adult CHECK (age >= (9 + 9))", exclusive(USERS), read={USERS: 20}),
        message="CHECK read all 20 rows of users",
        fix="ALTER TABLE users ADD CONSTRAINT adult CHECK (age >= (9 + 9)) NOT VALID; "
        "and in a later migration: ALTER TABLE users VALIDATE CONSTRAINT adult;",
    ),
    case(
        "PMG309",
        seen("ALTER TABLE users ADD COLUMN age int DEFAULT 1 CHECK (age > 0)", exclusive(USERS), read={USERS: 20}),
        message="CHECK read",
        fix="ALTER TABLE users ADD CONSTRAINT users_age_check CHECK (age > 0) NOT VALID;",
    ),
    case(
        "PMG309",
        seen("ALTER DOMAIN mail ADD CONSTRAINT m CHECK (value <> '')", share(USERS), read={USERS: 20}),
        message="CHECK read all 20 rows of users while it held ShareLock",
        fix="VALIDATE of a domain's constraint blocks writes too",
    ),
    case(
        "PMG309",
        seen("ALTER TABLE users ADD CONSTRAINT adult CHECK (age > 17) NOT VALID", exclusive(USERS)),
        seen("ALTER TABLE users VALIDATE CONSTRAINT adult", read={USERS: 20}),
        message="VALIDATE CONSTRAINT read all 20 rows of users while the AccessExclusiveLock of line 1 was still held",
        fix="ALTER TABLE users VALIDATE CONSTRAINT adult;",
    ),
    case(
        "PMG310",
        seen(
            "ALTER TABLE orders ADD CONSTRAINT buyer FOREIGN KEY (user_id) REFERENCES users (id)",
            share_row(ORDERS),
            share_row(USERS),
            read={ORDERS: 20},
        ),
        message="FOREIGN KEY read all 20 rows of orders while it held ShareRowExclusiveLock",
        fix="FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID; "
        "and in a later migration: ALTER TABLE orders VALIDATE CONSTRAINT buyer;",
    ),
    case(
        "PMG310",
        seen(
            "ALTER TABLE orders ADD COLUMN user_id int DEFAULT 1 REFERENCES users",
            exclusive(ORDERS),
            share_row(USERS),
            read={ORDERS: 20, USERS: 20},
        ),
        message="read all 20 rows of orders and all 20 rows of users",
        fix="ADD CONSTRAINT orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users NOT VALID;",
    ),
    case(
        "PMG310",
        seen(
            "ALTER TABLE orders ADD CONSTRAINT buyer FOREIGN KEY (user_id) REFERENCES users NOT VALID",
            share_row(ORDERS),
            share_row(USERS),
        ),
        seen("ALTER TABLE orders VALIDATE CONSTRAINT buyer", update_exclusive(ORDERS), read={ORDERS: 20}),
        message="while the ShareRowExclusiveLock of line 1 was still held",
        fix="move it to a migration after this one: ALTER TABLE orders VALIDATE CONSTRAINT buyer;",
    ),
    case(
        "PMG311",
        seen(
            "ALTER TABLE users ADD CONSTRAINT one_email UNIQUE (email)",
            exclusive(USERS),
            read={USERS: 20},
            built=[built("one_email")],
        ),
        message="UNIQUE read all 20 rows of users while it held AccessExclusiveLock",
        fix="CREATE UNIQUE INDEX CONCURRENTLY one_email ON users (email); "
        "then ALTER TABLE users ADD CONSTRAINT one_email UNIQUE USING INDEX one_email;",
    ),
    case(
        "PMG311",
        seen("ALTER TABLE users ADD PRIMARY KEY (id)", exclusive(USERS), read={USERS: 40}, built=[built("users_pkey")]),
        message="PRIMARY KEY read",
        fix="ALTER TABLE users ADD CONSTRAINT users_pkey PRIMARY KEY USING INDEX users_pkey;",
    ),
    case(
        "PMG311",
        seen("ALTER TABLE users ADD PRIMARY KEY USING INDEX users_email", exclusive(USERS), read={USERS: 20}),
        message="PRIMARY KEY read",
        fix="make the columns of the key NOT NULL first",
    ),
    case(
        "PMG311",
        seen(
            "ALTER TABLE users ADD CONSTRAINT x EXCLUDE USING gist (span WITH &&)",
            exclusive(USERS),
            read={USERS: 20},
            built=[built("x")],
        ),
        message="EXCLUDE read",
        fix="no form of EXCLUDE is built concurrently",
    ),
    case(
        "PMG311",
        seen("ALTER TABLE users ADD COLUMN code text UNIQUE", exclusive(USERS), built=[built("users_code_key")]),
        message="UNIQUE built an index of all 20 rows of users",
        fix="CREATE UNIQUE INDEX CONCURRENTLY users_code_key ON users (code);",
    ),
    case(
        "PMG312",
        seen(
            "ALTER TABLE events ATTACH PARTITION orders FOR VALUES FROM (1) TO (2)",
            update_exclusive(PARENT),
            exclusive(ORDERS),
            exclusive(P2),
            read={P2: 20, ORDERS: 20},
        ),
        message="ATTACH PARTITION read all 20 rows of orders and all 20 rows of events_2",
        fix="ALTER TABLE events ATTACH PARTITION orders FOR VALUES FROM (1) TO (2);",
    ),
    case(
        "PMG312",
        seen(
            "CREATE TABLE events_3 PARTITION OF events FOR VALUES FROM (5) TO (6)",
            exclusive(PARENT),
            exclusive(P2),
            read={P2: 20},
        ),
        message="CREATE TABLE … PARTITION OF read all 20 rows of events_2",
        fix="ALTER TABLE events_2 ADD CONSTRAINT events_2_bound CHECK (<no row that FOR VALUES FROM (5) TO (6) takes",
    ),
    case(
        "PMG313",
        seen("REFRESH MATERIALIZED VIEW totals", exclusive(VIEW), read={USERS: 20, VIEW: 5}, rewritten=(VIEW,)),
        message="REFRESH MATERIALIZED VIEW rewrote all 5 rows of totals",
        fix="REFRESH MATERIALIZED VIEW CONCURRENTLY totals;",
    ),
    case(
        "PMG314",
        ALTER,
        seen("SELECT count(*) FROM users", read={USERS: 20}),
        message="this SELECT read all 20 rows of users while the AccessExclusiveLock of line 1 was still held",
        fix="SELECT count(*) FROM users;",
    ),
    case(
        "PMG314",
        ALTER,
        seen("CREATE TABLE sums AS SELECT id FROM users", read={USERS: 20}, inserted={NEW: 20}),
        message="this statement read all 20 rows of users",
        fix="move it to a migration of its own",
    ),
    case(
        "PMG314",
        seen(
            "DO $$ BEGIN ALTER TABLE users ADD a int; PERFORM 1 FROM users WHERE id < 0; END $$",
            exclusive(USERS),
            read={USERS: 20},
        ),
        message="this DO block read all 20 rows of users while it held AccessExclusiveLock",
        fix="split it",
    ),
    case(
        "PMG314",
        ALTER,
        seen("ALTER TABLE users VALIDATE CONSTRAINT older", read={USERS: 20}),
        message="read all 20 rows of users while the AccessExclusiveLock of line 1 was still held",
        fix="ALTER TABLE users VALIDATE CONSTRAINT older;",
    ),
    case(
        "PMG314",
        seen("ALTER TABLE users ALTER name TYPE varchar(100)", exclusive(USERS), read={USERS: 20}),
        message="re-checking the constraints on the column read all 20 rows of users",
        fix="add them again NOT VALID",
    ),
]


@pytest.mark.parametrize("hazard", HAZARDS)
def test_fires_once_with_the_users_names(hazard: Case) -> None:
    found = one(up(*hazard.statements, rows_before=ROWS), hazard.code)
    assert found.severity is Severity.ERROR
    assert hazard.message in found.message
    assert hazard.fix in found.fix
    assert made.where(found) == ("000002_change.up.sql", len(hazard.statements))


@pytest.mark.parametrize("hazard", HAZARDS)
def test_is_a_warning_in_a_down(hazard: Case) -> None:
    found = one(down(*hazard.statements, rows_before=ROWS), hazard.code)
    assert found.severity is Severity.WARNING
    assert made.where(found) == ("000002_change.down.sql", len(hazard.statements))
    assert one(down(*hazard.statements), hazard.code, strict=True).severity is Severity.ERROR


@pytest.mark.parametrize("hazard", HAZARDS)
def test_small_tables_are_exempt(hazard: Case) -> None:
    small = dict.fromkeys([*ROWS, "public.events"], 10_000)
    assert said(up(*hazard.statements, rows_before=ROWS, production_rows=small)) == []
    large = dict.fromkeys(small, 10_001)
    found = one(up(*hazard.statements, rows_before=ROWS, production_rows=large), hazard.code)
    assert "10,001" in found.message
    assert one(up(*hazard.statements, production_rows=small), hazard.code, max_blocked_rows=9_999)


@pytest.mark.parametrize("hazard", HAZARDS)
def test_tables_of_the_same_migration_block_nobody(hazard: Case) -> None:
    """The same statements, all of whose tables the migration itself made: no lock and no rows of others."""
    own = [seen(s.statement.text, transaction=s.transaction) for s in hazard.statements]
    assert said(up(*own, rows_before=ROWS)) == []


SILENT = {
    "index on a new table": [seen("CREATE INDEX i ON sums (n)", share(NEW), built=[built("i", NEW)], read={NEW: 20})],
    "concurrently": [
        seen(
            "CREATE INDEX CONCURRENTLY i ON users (email)",
            update_exclusive(USERS),
            read={USERS: 40},
            built=[built("i")],
            stops=3,
        )
    ],
    "reindex concurrently": [
        seen(
            "REINDEX INDEX CONCURRENTLY users_email",
            update_exclusive(USERS),
            exclusive(EMAIL),
            read={USERS: 20},
            rebuilt=(EMAIL,),
            stops=5,
        )
    ],
    "only the parent's index": [
        seen("CREATE INDEX i ON ONLY events (at)", share(PARENT), built=[index("i", PARENT, new=True)])
    ],
    "index of a materialized view": [
        seen("CREATE INDEX i ON totals (n)", share(VIEW), read={VIEW: 5}, built=[built("i", VIEW)])
    ],
    "refresh concurrently": [
        seen(
            "REFRESH MATERIALIZED VIEW CONCURRENTLY totals",
            lock(VIEW, Mode.EXCLUSIVE),
            read={VIEW: 5, USERS: 20},
            updated={VIEW: 5},
        )
    ],
    "plain and constant columns": [
        seen("ALTER TABLE users ADD COLUMN a int, ADD COLUMN b int DEFAULT 1", exclusive(USERS))
    ],
    "stable default": [seen("ALTER TABLE users ADD COLUMN at timestamptz DEFAULT now()", exclusive(USERS))],
    "binary-coercible type": [
        seen("ALTER TABLE users ALTER name TYPE varchar(100)", exclusive(USERS), built=[built("users_name")])
    ],
    "NOT VALID": [
        seen("ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID", exclusive(USERS)),
        seen(
            "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (u) REFERENCES users NOT VALID",
            share_row(ORDERS),
            share_row(USERS),
        ),
    ],
    "VALIDATE by itself": [
        seen("ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID", exclusive(USERS)),
        seen("ALTER TABLE users VALIDATE CONSTRAINT c", update_exclusive(USERS), read={USERS: 20}, transaction=1),
    ],
    "SET NOT NULL behind a valid CHECK": [seen("ALTER TABLE users ALTER email SET NOT NULL", exclusive(USERS))],
    "USING INDEX": [seen("ALTER TABLE users ADD CONSTRAINT u UNIQUE USING INDEX i", exclusive(USERS))],
    "foreign key column without default": [
        seen("ALTER TABLE orders ADD u int REFERENCES users", exclusive(ORDERS), share_row(USERS))
    ],
    "attach behind a CHECK": [
        seen("ALTER TABLE events ATTACH PARTITION orders DEFAULT", update_exclusive(PARENT), exclusive(ORDERS))
    ],
    "instant locks": [
        seen("CREATE TRIGGER t AFTER INSERT ON users EXECUTE FUNCTION f()", share_row(USERS)),
        seen("ALTER TABLE users DROP COLUMN note", exclusive(USERS)),
        seen("COMMENT ON TABLE users IS 'x'", update_exclusive(USERS)),
    ],
    "truncate": [seen("TRUNCATE users", exclusive(USERS), emptied=(USERS,))],
    "query before the lock": [seen("SELECT count(*) FROM users", read={USERS: 20}), ALTER],
    "query of another table": [ALTER, seen("SELECT count(*) FROM orders", read={ORDERS: 20})],
    "query in the next transaction": [ALTER, seen("SELECT count(*) FROM users", read={USERS: 20}, transaction=1)],
    "one row": [ALTER, seen("SELECT * FROM users LIMIT 1", read={USERS: 1})],
    "analyze": [ALTER, seen("ANALYZE users", read={USERS: 20})],
    "rows written under the lock are PMG341": [
        ALTER,
        seen("UPDATE users SET note = ''", writing(USERS), read={USERS: 20}, updated={USERS: 20}),
    ],
    "a foreign key's look-ups": [
        seen("CREATE TABLE sums (u int REFERENCES users)", share_row(USERS)),
        seen("INSERT INTO sums VALUES (1)", read={USERS: 20}, inserted={NEW: 1}),
    ],
    "a DO that looks, then locks": [
        seen(
            "DO $$ BEGIN IF EXISTS (SELECT FROM users) THEN RAISE EXCEPTION 'x'; END IF; ALTER TABLE users DROP a; END $$",
            exclusive(USERS),
            read={USERS: 20},
        )
    ],
    "batches with commits": [
        seen("DO $$ BEGIN SELECT 1; COMMIT; LOCK users; SELECT 2; END $$", exclusive(USERS), read={USERS: 20}, stops=2)
    ],
    "a failed statement": [
        seen("ALTER TABLE users ALTER email SET NOT NULL", exclusive(USERS), read={USERS: 20}, failed=True)
    ],
}


@pytest.mark.parametrize("statements", SILENT.values(), ids=SILENT.keys())
def test_silent(statements: list[StatementSeen]) -> None:
    assert said(up(*statements, rows_before=ROWS)) == []


def test_an_empty_table_is_no_excuse_for_work_that_grows() -> None:
    found = one(
        up(
            seen("CREATE INDEX i ON users (email)", share(USERS), built=[built("i")]),
            rows_before={"public.users": 0},
            production_rows={"public.users": 400_000_000},
        ),
        "PMG301",
    )
    assert "users (empty here, 400,000,000 rows in production)" in found.message
    rewritten = seen("ALTER TABLE users ALTER id TYPE bigint", exclusive(USERS), rewritten=(USERS,))
    assert one(up(rewritten, rows_before={"public.users": 0}), "PMG306")
    scan = seen("ALTER TABLE users ALTER email SET NOT NULL", exclusive(USERS))
    assert said(up(scan, rows_before={"public.users": 0})) == []


def test_says_who_waited_and_what_was_counted() -> None:
    waited = blocked("INSERT into users", USERS, Mode.ROW_EXCLUSIVE, Mode.SHARE)
    statement = seen(
        "CREATE INDEX i\n  ON users (email)",
        share(USERS),
        read={USERS: 20},
        built=[built("i")],
        blocked=(waited,),
        wal_bytes=99,
    )
    found = one(up(statement, rows_before=ROWS, production_rows={"public.users": 400_000_000}), "PMG301")
    assert "read all 20 rows (400,000,000 in production) of users" in found.message
    assert found.effect.startswith("INSERT, UPDATE and DELETE on users wait")
    assert found.details[0].startswith("while this ran, INSERT into users waited")
    assert found.details[-1] == "statement: CREATE INDEX i ON users (email)"
    assert found.observed["rows_read"] == 20
    assert found.observed["wal_bytes"] == 99
    assert found.observed["lock"] == "ShareLock"
    assert found.observed["tables"] == ["public.users"]


def test_both_tables_of_a_foreign_key_wait() -> None:
    statement = seen(
        "ALTER TABLE orders ADD FOREIGN KEY (u) REFERENCES users",
        share_row(ORDERS),
        share_row(USERS),
        read={ORDERS: 20},
    )
    found = one(up(statement, rows_before=ROWS), "PMG310")
    assert "on orders wait" in found.effect
    assert "so do writes to users (ShareRowExclusiveLock)" in found.effect
    # The rows of the referencing table are what is looked up: few of them hold the other table up briefly.
    assert said(up(statement, rows_before=ROWS, production_rows={"public.orders": 5})) == []
    assert one(up(statement, rows_before=ROWS, production_rows={"public.users": 5}), "PMG310")
    both = seen(statement.statement.text, share_row(ORDERS), share_row(USERS), read={ORDERS: 20, USERS: 20})
    assert said(up(both, rows_before=ROWS, production_rows={"public.orders": 5})) == []


def test_what_is_not_validated_read_nothing() -> None:
    text = "ALTER TABLE users ALTER email SET NOT NULL, ADD CONSTRAINT c CHECK (email <> '') NOT VALID"
    assert one(up(seen(text, exclusive(USERS), read={USERS: 20}), rows_before=ROWS), "PMG308")


def test_a_partitioned_table_waits_as_a_whole() -> None:
    locks = (share(PARENT), share(P1), share(P2))
    statement = seen(
        "CREATE INDEX i ON events (at)", *locks, read={P1: 20, P2: 20}, built=[built("a", P1), built("b", P2)]
    )
    found = one(up(statement, rows_before=ROWS), "PMG301")
    assert "on events wait" in found.effect
    # Known to be small as a whole, its partitions are.
    assert said(up(statement, rows_before=ROWS, production_rows={"public.events": 100})) == []
    left = one(up(statement, rows_before=ROWS, production_rows={"public.events_1": 100}), "PMG301")
    assert left.observed["tables"] == ["public.events_2"]


def test_hostile_names_are_quoted_in_the_fix() -> None:
    odd = table('shop.User "Orders"')
    statement = seen(
        'ALTER TABLE shop."User ""Orders""" ALTER "First Name" SET NOT NULL', exclusive(odd), read={odd: 3}
    )
    found = one(up(statement), "PMG308")
    assert 'ALTER TABLE shop."User ""Orders""" ADD CONSTRAINT' in found.fix
    assert 'CHECK ("First Name" IS NOT NULL) NOT VALID' in found.fix
    reserved = table("order")
    statement = seen('ALTER TABLE "order" ALTER note SET NOT NULL', exclusive(reserved), read={reserved: 3})
    assert 'ALTER TABLE "order" ALTER COLUMN note SET NOT NULL' in one(up(statement), "PMG308").fix


def test_counters_at_two_sizes_say_what_grows() -> None:
    statements = (ALTER, seen("SELECT * FROM users WHERE id = 1", read={USERS: 20}))
    flat = Scaled(1, "public.users", (20, 2000), (20, 1))
    assert said(up(*statements, rows_before=ROWS, scaled=(flat,))) == []
    grows = Scaled(1, "public.users", (20, 2000), (20, 2000))
    assert one(up(*statements, rows_before=ROWS, scaled=(grows,)), "PMG314")


def test_each_statement_is_a_finding_of_its_own() -> None:
    first = seen("CREATE INDEX i ON users (a)", share(USERS), read={USERS: 20}, built=[built("i")])
    second = seen("CREATE INDEX j ON users (b)", read={USERS: 20}, built=[built("j")])
    found = said(up(first, second, rows_before=ROWS))
    assert [(f.code, f.place.line) for f in found] == [("PMG301", 1), ("PMG301", 2)]


def test_the_up_and_its_down_are_told_apart() -> None:
    scan = seen("ALTER TABLE users ALTER email SET NOT NULL", exclusive(USERS), read={USERS: 20})
    evidence = steps([scan], [scan], rows_before=ROWS)
    assert [(f.severity, made.where(f)) for f in said(evidence)] == [
        (Severity.ERROR, ("000002_change.up.sql", 1)),
        (Severity.WARNING, ("000002_change.down.sql", 1)),
    ]
    assert claimed(evidence) == {("up", 0, "public.users"), ("down", 0, "public.users")}
    assert {h.code for h in hazards(evidence)} == {"PMG308"}


# -- PMG302 -------------------------------------------------------------------------------------------------------------

DROP = seen("DROP INDEX users_email", exclusive(USERS), exclusive(EMAIL))


def test_dropped_index() -> None:
    found = one(up(DROP), "PMG302")
    assert found.severity is Severity.WARNING
    assert found.message == "DROP INDEX of users_email took AccessExclusiveLock on users"
    assert "DROP INDEX CONCURRENTLY users_email;" in found.fix
    assert found.observed["indexes"] == ["public.users_email"]
    assert one(down(DROP), "PMG302").severity is Severity.WARNING
    assert said(up(DROP, production_rows={"public.users": 5})) == []


def test_second_index_of_a_locked_table() -> None:
    # The table's lock was taken by the first DROP; the second requests only that of its index.
    other = index("users_name", USERS)
    found = said(up(DROP, seen("DROP INDEX users_name", exclusive(other))))
    assert [f.message.split(" took")[0] for f in found] == ["DROP INDEX of users_email", "DROP INDEX of users_name"]


def test_index_of_a_partitioned_table() -> None:
    whole, part = index("events_at", PARENT), index("events_1_at", P1)
    found = one(up(seen("DROP INDEX events_at", *map(exclusive, (PARENT, P1, whole, part)))), "PMG302")
    assert found.message == "DROP INDEX of events_at took AccessExclusiveLock on events"
    assert "lock_timeout" in found.fix
    assert "CONCURRENTLY events" not in found.fix


@pytest.mark.parametrize(
    "statement",
    [
        seen("DROP INDEX CONCURRENTLY users_email", update_exclusive(USERS), exclusive(EMAIL), stops=3),
        seen("DROP INDEX IF EXISTS nothing"),
        seen("DROP INDEX sums_n", exclusive(index("sums_n", NEW, new=True))),
        seen("DROP TABLE users", exclusive(USERS), exclusive(EMAIL)),
    ],
    ids=lambda s: s.statement.text,
)
def test_drops_that_block_nobody(statement: StatementSeen) -> None:
    assert said(up(statement)) == []


# -- PMG304 -------------------------------------------------------------------------------------------------------------

BUILD = seen("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS u ON users (email)", update_exclusive(USERS))


def test_accepts_an_invalid_index() -> None:
    found = one(up(BUILD), "PMG304")
    assert found.severity is Severity.WARNING
    assert "DROP INDEX CONCURRENTLY IF EXISTS u; CREATE UNIQUE INDEX CONCURRENTLY u ON users (email);" in found.fix
    assert made.where(one(down(BUILD), "PMG304")) == ("000002_change.down.sql", 1)
    # Another index dropped before, or this one only afterwards, clears nothing.
    assert one(up(seen("DROP INDEX CONCURRENTLY IF EXISTS other"), BUILD), "PMG304")
    assert one(up(BUILD, seen("DROP INDEX CONCURRENTLY IF EXISTS u", transaction=1)), "PMG304")


@pytest.mark.parametrize(
    "statements",
    [
        [seen("CREATE INDEX CONCURRENTLY u ON users (email)")],
        [seen("DROP INDEX CONCURRENTLY IF EXISTS public.u"), BUILD],
        [seen("DROP INDEX IF EXISTS u"), BUILD],
        [BUILD, seen("REINDEX INDEX CONCURRENTLY u")],
        [BUILD, seen("DO $$ BEGIN PERFORM 1 FROM pg_index WHERE NOT indisvalid; END $$")],
    ],
    ids=["no IF NOT EXISTS", "dropped before", "dropped plainly", "rebuilt after", "looked at"],
)
def test_repeatable_builds(statements: list[StatementSeen]) -> None:
    assert said(up(*statements)) == []


# -- PMG306, timestamps ---------------------------------------------------------------------------------------------------

WITHOUT, WITH = "timestamp without time zone", "timestamp with time zone"
AWARE = seen("ALTER TABLE users ALTER born TYPE timestamptz", exclusive(USERS), settings={"TimeZone": "UTC"})


def retyped(old: str, new: str, column: str = "born") -> dict[str, Any]:
    change = made.changed("column", f"public.users.{column}", "type", old, new, "public.users")
    return {"changed": Difference((change,)), "rows_before": ROWS}


@pytest.mark.parametrize(("old", "new"), [(WITHOUT, WITH), (WITH, WITHOUT), ("timestamp(3) without time zone", WITH)])
def test_spared_by_utc(old: str, new: str) -> None:
    found = one(up(AWARE, **retyped(old, new)), "PMG306")
    assert found.severity is Severity.WARNING
    assert found.message == "the new type of born spared 20 rows of users only because TimeZone is UTC here"
    assert "SET LOCAL TimeZone = 'UTC'; ALTER TABLE users ALTER born TYPE timestamptz;" in found.fix


def test_not_spared_but_the_same() -> None:
    assert said(up(AWARE, **retyped("timestamp(3) with time zone", WITH))) == []
    assert said(up(AWARE, **retyped("character varying(5)", "text"))) == []
    assert said(up(AWARE, **retyped(WITHOUT, WITH, "died"))) == []
    assert said(up(AWARE, production_rows={"public.users": 5}, **retyped(WITHOUT, WITH))) == []


@pytest.mark.parametrize("setting", ["SET LOCAL TimeZone = 'UTC'", "SET TIME ZONE 'UTC'"])
def test_a_migration_that_says_its_zone(setting: str) -> None:
    assert said(up(seen(setting), AWARE, **retyped(WITHOUT, WITH))) == []


def test_rewritten_in_another_zone() -> None:
    rewritten = seen("ALTER TABLE users ALTER born TYPE timestamptz", exclusive(USERS), rewritten=(USERS,))
    assert one(up(rewritten, **retyped(WITHOUT, WITH)), "PMG306").severity is Severity.ERROR
