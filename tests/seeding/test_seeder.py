from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.errors import SeedError
from pytest_pgmigrate.model.cluster import SeedReport
from pytest_pgmigrate.seeding import FakeSeeder
from tests.seeding.conftest import Make
from tests.seeding.helpers import SHOP, Connection, column, count, dump, tables, violations

EMBEDDED, LOCAL = "embedded_cluster", "local_cluster"


def fill(connection: Connection, seed: int = 1, rows: int = 20, exclude: Sequence[str] = ()) -> tuple[SeedReport, ...]:
    return FakeSeeder(seed, rows).fill(connection, exclude_schemas=exclude)


def test_shop_is_full_and_plausible(make: Make, server: str) -> None:
    connection = make(server, SHOP)
    reports = fill(connection)
    assert {report.table: (report.filled, report.status) for report in reports} == {
        f"public.{table}": (20, "full") for table in tables(connection)
    }
    assert violations(connection) == []
    emails = column(connection, "users", "email")
    assert len(set(emails)) == 20
    assert all(email.endswith("@example.com") and email == email.lower() for email in emails)
    for name in ("phone", "first_name", "last_name", "updated_at"):
        assert None not in column(connection, "users", name)
    assert column(connection, "users", "deleted_at").count(None) > 10
    assert count(connection, "users WHERE updated_at <= created_at") == 0
    assert set(column(connection, "orders", "status")) == {"pending", "paid", "shipped", "cancelled"}
    for partition in ("orders_2024_q1", "orders_2024_q2", "orders_2031"):
        assert count(connection, partition) > 0


def test_sequences_stand_where_an_application_would_leave_them(make: Make, server: str) -> None:
    connection = make(server, SHOP)
    fill(connection)
    row = connection.execute("INSERT INTO users (email) VALUES ('new@example.org') RETURNING id").fetchone()
    assert row == (21,)
    FakeSeeder(1).write_more(connection, exclude_schemas=[], rows=5)
    assert sorted(column(connection, "users", "id")) == list(range(1, 27))
    connection.execute("INSERT INTO orders_partitioned (user_id, status, created_at) VALUES (1, 'paid', '2024-02-02')")


def test_write_more_keeps_every_constraint_and_old_rows(make: Make, server: str) -> None:
    connection = make(server, SHOP)
    fill(connection)
    before = dump(connection)
    reports = FakeSeeder(1).write_more(connection, exclude_schemas=[], rows=7)
    assert {report.status for report in reports} == {"full"}
    after = dump(connection)
    for table, rows in before.items():
        assert len(after[table]) == 27
        assert set(rows) < set(after[table])
    assert violations(connection) == []


def test_write_more_moves_past_keys_that_no_sequence_gave(make: Make, server: str) -> None:
    connection = make(server, "CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (5, 'b')")
    reports = FakeSeeder(1).write_more(connection, exclude_schemas=[], rows=3)
    assert reports == (SeedReport("public.t", 3, 3, "full"),)
    assert sorted(column(connection, "t", "id")) == [1, 5, 6, 7, 8]


def test_same_seed_same_rows_on_every_version(make: Make) -> None:
    ddl = SHOP + (
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE many (id uuid PRIMARY KEY, m mood, j jsonb, ip inet,"
        " d interval, r tstzrange, f float8, b bytea, tags text[], n numeric(8,3), t time, code text"
        " CHECK (code ~ '^[A-Z]{2}[0-9]+$'), a int, z int, CHECK (a + z = 10), parent uuid REFERENCES many);"
    )
    rows = {}
    for server in (EMBEDDED, LOCAL):
        connection = make(server, ddl)
        fill(connection, seed=42)
        FakeSeeder(42).write_more(connection, exclude_schemas=[], rows=3)
        rows[server] = dump(connection)
    assert all(len(found) == 23 for found in rows[LOCAL].values())
    assert rows[LOCAL] == rows[EMBEDDED]


def test_rows_do_not_depend_on_the_order_of_creation(make: Make) -> None:
    statements = ["CREATE TABLE a (id uuid PRIMARY KEY, v text)", "CREATE TABLE b (id uuid PRIMARY KEY, v text)"]
    child = "CREATE TABLE c (a_id uuid NOT NULL REFERENCES a, b_id uuid REFERENCES b)"
    one, other = make(EMBEDDED, *statements, child), make(EMBEDDED, *reversed(statements), child)
    fill(one)
    fill(other)
    assert dump(one) == dump(other)


def test_another_seed_gives_other_rows(make: Make) -> None:
    one, other = make(EMBEDDED, SHOP), make(EMBEDDED, SHOP)
    fill(one, seed=1)
    fill(other, seed=2)
    assert dump(one)["users"] != dump(other)["users"]


def test_filled_tables_are_left_alone_for_three_queries(make: Make, server: str) -> None:
    connection = make(server, SHOP)
    connection.execute("INSERT INTO users (email) VALUES ('kept@example.org')")
    reports = fill(connection)
    assert "public.users" not in {report.table for report in reports}
    assert count(connection, "users") == 1
    sent: list[Any] = []

    class Counting(psycopg.Cursor[Any]):
        def execute(self, *args: Any, **kwargs: Any) -> Any:
            sent.append(args[0])
            return super().execute(*args, **kwargs)

    connection.cursor_factory = Counting
    assert fill(connection) == ()
    assert len(sent) <= 3


def test_implied_references_hold(make: Make, server: str) -> None:
    connection = make(
        server,
        "CREATE TABLE oidc_clients (id uuid PRIMARY KEY); CREATE TABLE companies (id serial PRIMARY KEY);"
        " CREATE TABLE visits (client_id uuid NOT NULL, company_id int)",
    )
    fill(connection)
    connection.execute("ALTER TABLE visits ADD FOREIGN KEY (client_id) REFERENCES oidc_clients")
    connection.execute("ALTER TABLE visits ADD FOREIGN KEY (company_id) REFERENCES companies")
    assert len(set(column(connection, "visits", "client_id"))) > 3


def test_child_gets_the_grandparent_of_its_parent(make: Make, server: str) -> None:
    connection = make(
        server,
        "CREATE TABLE users (id serial PRIMARY KEY); CREATE TABLE orders (id serial PRIMARY KEY, user_id int NOT NULL"
        " REFERENCES users); CREATE TABLE payments (order_id int NOT NULL REFERENCES orders, user_id int NOT NULL"
        " REFERENCES users)",
    )
    fill(connection)
    assert count(connection, "payments p JOIN orders o ON o.id = p.order_id WHERE o.user_id <> p.user_id") == 0
    assert count(connection, "payments") == 20


def test_cycle_of_nullable_keys_is_closed_afterwards(make: Make, server: str) -> None:
    connection = make(
        server,
        "CREATE TABLE team (id serial PRIMARY KEY, lead_id int); CREATE TABLE person (id serial PRIMARY KEY,"
        " team_id int NOT NULL REFERENCES team); ALTER TABLE team ADD FOREIGN KEY (lead_id) REFERENCES person",
    )
    fill(connection)
    assert count(connection, "team WHERE lead_id IS NOT NULL") == 10


def test_what_cannot_be_filled_is_said_with_its_cause(make: Make, server: str) -> None:
    connection = make(
        server,
        """
        CREATE TABLE nowhere (id int) PARTITION BY RANGE (id);
        CREATE TABLE refused (id serial PRIMARY KEY);
        CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'never %', 1 USING ERRCODE = 'P0042'; END$$;
        CREATE TRIGGER no BEFORE INSERT ON refused FOR EACH ROW EXECUTE FUNCTION no();
        CREATE TABLE swallowed (id serial PRIMARY KEY);
        CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
        CREATE TRIGGER gone BEFORE INSERT ON swallowed FOR EACH ROW EXECUTE FUNCTION gone();
        CREATE TABLE child (refused_id int NOT NULL REFERENCES refused);
        CREATE TABLE impossible (a int NOT NULL UNIQUE CHECK (a > 5 AND a < 3));
        CREATE TABLE orphan (id serial PRIMARY KEY, a int NOT NULL REFERENCES impossible (a));
        CREATE TABLE grandchild (orphan_id int NOT NULL REFERENCES orphan);
        CREATE TABLE failing (a int NOT NULL CHECK (1 / (a - a) > 0));
        CREATE TABLE odd (id serial PRIMARY KEY);
        CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS
          $$BEGIN IF NEW.id % 2 = 0 THEN RAISE 'even'; END IF; RETURN NEW; END$$;
        CREATE TRIGGER odd BEFORE INSERT ON odd FOR EACH ROW EXECUTE FUNCTION odd();
        CREATE TABLE flag (id bool PRIMARY KEY);
        CREATE TABLE good (id serial PRIMARY KEY);
        """,
    )
    found = {report.table.removeprefix("public."): report for report in fill(connection)}
    assert found["nowhere"].reason == "the partitioned table has no partition"
    assert (found["refused"].status, found["refused"].filled) == ("trigger-bypassed", 20)
    assert found["refused"].reason == "P0042 never 1; filled with its triggers off: no"
    assert found["swallowed"].status == "trigger-bypassed"
    assert "trigger or rule discards" in found["swallowed"].reason
    assert found["child"].status == "full"
    assert found["grandchild"].reason == "parent public.orphan is empty"
    assert found["grandchild"].cause == f"public.impossible: {found['impossible'].reason}"
    assert found["grandchild"].stub == found["impossible"].stub
    assert found["impossible"].stub == (
        'INSERT INTO "public"."impossible" ("a") VALUES (NULL /* integer NOT NULL */);'
        " -- impossible_a_check: CHECK (((a > 5) AND (a < 3)))"
    )
    assert "impossible_a_check" in found["impossible"].reason
    assert "failing_a_check" in found["failing"].reason
    assert found["odd"].status in ("partial", "full")
    assert found["odd"].filled == count(connection, "odd") > 0
    assert (found["flag"].status, found["flag"].filled) == ("saturated", 2)
    assert found["good"].status == "full"
    assert column(connection, "pg_trigger WHERE NOT tgisinternal", "DISTINCT tgenabled::text") == ["O"]


def test_fill_columns_writes_what_the_new_release_would(make: Make, server: str) -> None:
    connection = make(server, SHOP)
    fill(connection)
    connection.execute(
        "ALTER TABLE users ADD locale varchar(5), ADD level int CHECK (level BETWEEN 1 AND 3), ADD handle text UNIQUE,"
        " ADD favourite_id int REFERENCES products, ADD seq int GENERATED ALWAYS AS IDENTITY"
    )
    before = connection.execute("SELECT id, email, created_at FROM users ORDER BY id").fetchall()
    wanted = [("public.users", name) for name in ("locale", "level", "handle", "favourite_id", "seq")]
    reports = FakeSeeder(1).fill_columns(connection, exclude_schemas=[], columns=wanted)
    assert reports == (SeedReport("public.users", 20, 20, "full"),)
    for name in ("locale", "level", "handle", "favourite_id"):
        assert None not in column(connection, "users", name)
    assert len(set(column(connection, "users", "handle"))) == 20
    assert violations(connection) == []
    assert connection.execute("SELECT id, email, created_at FROM users ORDER BY id").fetchall() == before


def test_fill_columns_without_a_key_and_in_partitions(make: Make, server: str) -> None:
    connection = make(server, SHOP)
    fill(connection)
    connection.execute("ALTER TABLE users_backup ADD note text; ALTER TABLE orders_partitioned ADD note text")
    wanted = [("public.users_backup", "note"), ("public.orders_partitioned", "note")]
    reports = FakeSeeder(1).fill_columns(connection, exclude_schemas=[], columns=wanted)
    assert [report.filled for report in reports] == [20, 20]
    assert None not in column(connection, "users_backup", "note") + column(connection, "orders_partitioned", "note")


@pytest.mark.parametrize("count", [5_000, 12_345])
def test_fill_columns_of_every_row_of_a_large_table(make: Make, server: str, count: int) -> None:
    """By the server where rows may share values, page by page where they may not."""
    connection = make(
        server,
        f"CREATE TABLE people (id int PRIMARY KEY, name text); CREATE TABLE plain (a text);"
        f"INSERT INTO people SELECT i, 'n' || i FROM generate_series(1, {count}) i;"
        f"INSERT INTO plain SELECT 'a' || i FROM generate_series(1, {count}) i;"
        "ALTER TABLE people ADD phone text, ADD level int CHECK (level BETWEEN 1 AND 3), ADD low text CHECK (low < name);"
        "ALTER TABLE plain ADD note text;",
    )
    fresh = FakeSeeder(1)
    wanted = [("public.people", "phone"), ("public.people", "level"), ("public.plain", "note")]
    reports = fresh.fill_columns(connection, exclude_schemas=[], columns=wanted)
    assert [(r.asked, r.filled, r.status) for r in reports] == [(count, count, "full")] * 2
    missing = "SELECT count(*) FROM {} WHERE {} IS NULL"
    for table, name in (("people", "phone"), ("people", "level"), ("plain", "note")):
        assert connection.execute(missing.format(table, name).encode()).fetchall() == [(0,)]
    connection.execute("ALTER TABLE people ADD handle text UNIQUE")
    wanted = [("public.people", "handle"), ("public.people", "low")]
    [report] = fresh.fill_columns(connection, exclude_schemas=[], columns=wanted)
    assert report.filled == count
    assert connection.execute("SELECT count(DISTINCT handle) FROM people").fetchall() == [(count,)]


def test_fill_columns_names_what_is_not_there(make: Make, server: str) -> None:
    connection = make(server, "CREATE TABLE t (id serial PRIMARY KEY, g int GENERATED ALWAYS AS (1) STORED)")
    reports = FakeSeeder(1).fill_columns(
        connection, exclude_schemas=[], columns=[("public.absent", "x"), ("public.t", "g"), ("public.t", "y")]
    )
    assert [(report.status, report.filled) for report in reports] == [("empty", 0), ("empty", 0)]
    assert "no table public.absent" in reports[0].reason
    assert "g, y" in reports[1].reason


def test_session_and_open_transaction_are_left_as_they_were(make: Make, server: str) -> None:
    connection = make(server, SHOP)
    connection.execute("SET datestyle = 'German'; SET timezone = 'Asia/Tokyo'; SET statement_timeout = '90s'")
    settings = "SELECT name, setting FROM pg_settings ORDER BY name"
    before = connection.execute(settings).fetchall()
    fill(connection)
    assert connection.execute(settings).fetchall() == before
    with connection.transaction(force_rollback=True):
        inside = connection.execute(settings).fetchall()
        FakeSeeder(1).write_more(connection, exclude_schemas=[], rows=2)
        assert connection.execute(settings).fetchall() == inside
        assert count(connection, "users") == 22
    assert count(connection, "users") == 20
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_excluded_schemas_and_extension_tables_are_not_touched(make: Make, server: str) -> None:
    connection = make(
        server,
        'CREATE SCHEMA pgmigrate; CREATE TABLE pgmigrate.ledger (id int); CREATE SCHEMA "Other S";'
        ' CREATE TABLE "Other S".t (id int); CREATE TEMP TABLE scratch (id int)',
    )
    reports = fill(connection, exclude=["pgmigrate"])
    assert [report.table for report in reports] == ["Other S.t"]
    assert count(connection, "pgmigrate.ledger") == 0


def test_row_factory_and_missing_tables_do_not_matter(make: Make, server: str) -> None:
    connection = make(server)
    connection.row_factory = psycopg.rows.dict_row
    assert fill(connection) == ()
    connection.execute("CREATE TABLE t (id serial PRIMARY KEY, v varchar(1) NOT NULL)")
    assert fill(connection)[0].status == "full"


def test_many_rows(make: Make) -> None:
    connection = make(EMBEDDED, SHOP)
    assert {report.filled for report in fill(connection, rows=1500)} == {1500}


def test_bad_use_is_a_clear_error(make: Make) -> None:
    with pytest.raises(SeedError, match="-1"):
        FakeSeeder(1, rows=-1)
    connection = make(EMBEDDED)
    connection.close()
    with pytest.raises(SeedError, match="closed"):
        fill(connection)


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = "import sys, pytest_pgmigrate.seeding; print(sorted({'faker', 'psycopg'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_backup_tables_hold_copies(make: Make, server: str) -> None:
    connection = make(
        server,
        "CREATE TABLE a_users_email_backup (user_id int PRIMARY KEY, old_email text, email varchar(255), saved_at"
        " timestamptz); CREATE TABLE users (id serial PRIMARY KEY, email text UNIQUE)",
    )
    reports = fill(connection)
    assert [report.table for report in reports] == ["public.users", "public.a_users_email_backup"]
    copies = "a_users_email_backup b JOIN users u ON u.id = b.user_id AND u.email = b.old_email"
    assert count(connection, copies) == 20
    assert None not in column(connection, "a_users_email_backup", "saved_at")
    FakeSeeder(1).write_more(connection, exclude_schemas=[], rows=4)
    assert count(connection, "a_users_email_backup") == 24
