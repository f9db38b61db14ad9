"""What is recorded once, what is known again, what cannot be tried, and what of it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_pgmigrate.execution.blocking import AppQuery, Blocking, read_queries
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.watch import Blocked
from tests.execution.blocking.conftest import Connection, Hold, MakeBlocking
from tests.execution.blocking.schema import TABLES

Run = Callable[[str], list[tuple[Any, ...]]]


def at(blocking: Blocking, hold: Hold, migration: str) -> dict[str, Blocked]:
    with hold(migration) as (held, names):
        return {blocked.label: blocked for blocked in blocking.at_hold(held, names, try_them=True)}


def identities(blocking: Blocking, table: str) -> list[int]:
    return [id(statement) for statement in blocking.statements if statement.table == table]


@pytest.mark.usefixtures("shop")
def test_a_table_is_recorded_with_what_is_joined_to_it(make_blocking: MakeBlocking) -> None:
    blocking = make_blocking()

    blocking.prepare(["Order_Items", "unknown", "public.nothing", 'a"b', "", "a.b.c.d"])

    tables = {statement.table.removeprefix("public.") for statement in blocking.statements}
    assert tables == {"order_items", "orders", "products", "open_orders", "order_mails", "totals"}
    labels = [statement.label for statement in blocking.statements if statement.table == "public.orders"]
    assert labels == [
        "SELECT from public.orders",
        "SELECT … FOR UPDATE of public.orders",
        "SELECT … FOR KEY SHARE of public.orders",
        "INSERT into public.orders",
        "UPDATE of public.orders",
        "UPDATE of customer_id in public.orders",
        "UPDATE of product_id in public.orders",
        "UPDATE of the key of public.orders",
        "DELETE from public.orders",
    ]


@pytest.mark.usefixtures("shop")
def test_the_conflict_names_both_locks_and_the_relation(make_blocking: MakeBlocking, hold: Hold) -> None:
    blocking = make_blocking()
    blocking.prepare(["orders"])

    on_index = at(blocking, hold, "REINDEX INDEX orders_customer")
    on_parent = at(blocking, hold, "LOCK TABLE customers IN EXCLUSIVE MODE")

    select = on_index["SELECT from public.orders"]
    assert (select.relation.name, select.wants, select.held) == (
        "public.orders_customer", Mode.ACCESS_SHARE, Mode.ACCESS_EXCLUSIVE)  # fmt: skip
    insert = on_parent["INSERT into public.orders"]
    assert (insert.relation.name, insert.wants, insert.held, insert.tried) == (
        "public.customers", Mode.ROW_SHARE, Mode.EXCLUSIVE, True)  # fmt: skip
    assert insert.sql.startswith("INSERT INTO public.orders (id, customer_id")
    assert "UPDATE of public.orders" not in on_parent


@pytest.mark.usefixtures("shop")
def test_nothing_is_changed_and_no_sequence_moves(make_blocking: MakeBlocking, hold: Hold, run: Run) -> None:
    tables = [name for (name,) in run("SELECT relname FROM pg_class WHERE relkind = 'r' AND oid >= 16384")]
    sequences = [name for (name,) in run("SELECT relname FROM pg_class WHERE relkind = 'S' AND oid >= 16384")]

    def everything() -> list[object]:
        rows = [run(f"SELECT t::text FROM ONLY {table} t ORDER BY 1") for table in tables]
        return [*rows, *(run(f"SELECT last_value, is_called FROM {sequence}") for sequence in sequences)]

    before = everything()
    writing = AppQuery("written", "INSERT INTO audit (what) SELECT nextval('products_id_seq')", "written.sql")
    blocking = make_blocking(writing)
    blocking.prepare(TABLES)
    at(blocking, hold, "ALTER TABLE settings SET (fillfactor = 90)")
    at(blocking, hold, "CREATE TRIGGER noted BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION noted()")

    assert everything() == before


@pytest.mark.usefixtures("shop")
def test_only_changed_tables_are_recorded_again(make_blocking: MakeBlocking, run: Run) -> None:
    blocking = make_blocking()
    blocking.prepare(TABLES)
    alone, orders, settings = (identities(blocking, f"public.{t}") for t in ("alone", "orders", "settings"))

    blocking.prepare(TABLES)
    assert identities(blocking, "public.orders") == orders

    # A further index on what its trigger writes to: nothing of the table's own has changed.
    run("CREATE INDEX audit_what ON audit (what)")
    blocking.prepare(TABLES)
    assert identities(blocking, "public.settings") != settings
    assert identities(blocking, "public.alone") == alone
    assert identities(blocking, "public.orders") == orders


@pytest.mark.usefixtures("shop")
def test_what_a_migration_added_is_in_the_next_footprint(make_blocking: MakeBlocking, hold: Hold, run: Run) -> None:
    blocking = make_blocking()
    blocking.prepare(["alone"])
    assert at(blocking, hold, "LOCK TABLE products IN EXCLUSIVE MODE") == {}

    run("CREATE UNIQUE INDEX alone_id ON alone (id); ALTER TABLE alone ADD FOREIGN KEY (id) REFERENCES products")
    blocking.prepare(["alone"])

    assert at(blocking, hold, "LOCK TABLE products IN EXCLUSIVE MODE")["INSERT into public.alone"].tried
    assert at(blocking, hold, "REINDEX INDEX alone_id")["SELECT from public.alone"].tried


@pytest.mark.usefixtures("shop")
def test_tables_without_rows_go_by_rule(make_blocking: MakeBlocking, hold: Hold) -> None:
    blocking = make_blocking()
    blocking.prepare(["empty_one"])
    assert not blocking.notes

    blocked = at(blocking, hold, "LOCK TABLE orders IN EXCLUSIVE MODE")["INSERT into public.empty_one"]

    assert blocked.tried is None
    assert (blocked.relation.name, blocked.wants) == ("public.orders", Mode.ROW_SHARE)
    # Its own lock needs no row.
    assert at(blocking, hold, "LOCK TABLE empty_one IN SHARE MODE")["INSERT into public.empty_one"].tried


@pytest.mark.usefixtures("shop")
def test_rows_that_the_migration_wrote_block_no_relation(make_blocking: MakeBlocking, hold: Hold) -> None:
    row = AppQuery("one row", "UPDATE customers SET name = 'new' WHERE id = 1", "row.sql")
    blocking = make_blocking(row)
    blocking.prepare(["customers"])

    assert at(blocking, hold, "UPDATE customers SET name = 'x'") == {}
    both = at(blocking, hold, "UPDATE customers SET name = 'x'; CREATE TRIGGER noted AFTER UPDATE ON orders"
              " FOR EACH ROW EXECUTE FUNCTION noted()")  # fmt: skip
    assert both["UPDATE of public.orders"].tried
    assert "UPDATE of public.customers" not in both
    assert "one row" not in both
    blocking.prepare(["customers"])
    assert at(blocking, hold, "COMMENT ON TABLE customers IS ''; UPDATE customers SET name = 'x'") == {}
    assert any(note.startswith("one row waited for a row") for note in blocking.notes)


PEEK = """CREATE FUNCTION peek() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
  IF EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock') THEN PERFORM 1 FROM products; END IF;
  RETURN EXISTS (SELECT FROM alone);
END $$"""


@pytest.mark.usefixtures("shop")
def test_what_waits_against_the_prediction_is_returned(make_blocking: MakeBlocking, hold: Hold, run: Run) -> None:
    run(PEEK)
    blocking = make_blocking(AppQuery("peek", "SELECT peek()", "peek.sql"))
    blocking.prepare(["alone"])

    blocked = at(blocking, hold, "LOCK TABLE alone IN SHARE UPDATE EXCLUSIVE MODE; LOCK TABLE products")

    assert list(blocked) == ["peek"]
    one = blocked["peek"]
    assert (one.relation.name, one.held, one.tried) == ("public.products", Mode.ACCESS_EXCLUSIVE, True)


@pytest.mark.usefixtures("shop")
def test_a_column_renamed_meanwhile_hides_no_lock(make_blocking: MakeBlocking, hold: Hold, run: Run) -> None:
    blocking = make_blocking()
    blocking.prepare(["alone"])
    run("ALTER TABLE alone RENAME COLUMN id TO other")

    blocked = at(blocking, hold, "LOCK TABLE alone IN SHARE MODE")

    assert blocked["UPDATE of public.alone"].tried is True
    assert blocked["INSERT into public.alone"].tried is True


@pytest.mark.usefixtures("shop")
def test_what_was_locked_or_not_expected_is_said(make_blocking: MakeBlocking, hold: Hold) -> None:
    blocking = make_blocking()
    with hold("LOCK TABLE alone") as (held, names):
        blocking.prepare(["alone"])
        assert blocking.at_hold(held, names, try_them=True) == ()
    assert blocking.notes == (
        "what the application does could not be recorded: canceling statement due to lock timeout",
        "public.alone was locked too; what the application does there was not recorded",
    )
    with hold("LOCK TABLE alone IN EXCLUSIVE MODE"):
        blocking.prepare(["alone"])
        assert "DELETE from public.alone was left out: canceling statement due to lock timeout" in blocking.notes

    blocking.prepare(["alone"])

    assert not blocking.notes
    assert len(at(blocking, hold, "LOCK TABLE alone")) == 6


HOSTILE = '''
CREATE SCHEMA "odd ""schema""";
CREATE TABLE "odd ""schema"""."select" ("from" int PRIMARY KEY, "a""b'c" text UNIQUE, "%s {} $1" varchar(3), "Ünï" char(2));
CREATE TABLE "odd ""schema"""."Order Items" (
  "group" int REFERENCES "odd ""schema"""."select" ON UPDATE CASCADE, "$$" timestamptz UNIQUE);
CREATE VIEW "odd ""schema"""."a.b" AS SELECT * FROM "odd ""schema"""."Order Items";
INSERT INTO "odd ""schema"""."select" VALUES (1, 'x', 'abc', 'ab'), (2147483647, NULL, NULL, NULL);
INSERT INTO "odd ""schema"""."Order Items" VALUES (1, now());
'''


def test_hostile_names(make_blocking: MakeBlocking, hold: Hold, run: Run) -> None:
    run(HOSTILE)
    blocking = make_blocking()

    blocking.prepare(['"odd ""schema"""."select"'])

    assert blocking.notes == ()
    tables = {statement.table for statement in blocking.statements}
    assert tables == {f'odd "schema".{name}' for name in ("select", "Order Items", "a.b")}
    blocked = at(blocking, hold, 'LOCK TABLE "odd ""schema"""."select"')
    assert all(one.tried for one in blocked.values())
    assert {label for label in blocked if "Order Items" in label} == {
        'INSERT into odd "schema".Order Items',
        'UPDATE of group in odd "schema".Order Items',
    }


def test_copies_pass_unique_keys_checks_and_deferred_constraints(
    make_blocking: MakeBlocking, hold: Hold, run: Run
) -> None:
    run(
        """
        CREATE DOMAIN email AS varchar(40) CHECK (VALUE ~ '@');
        CREATE TABLE people (id smallint PRIMARY KEY, mail email UNIQUE, code char(4) UNIQUE, big numeric(6, 2) UNIQUE,
          made timestamptz UNIQUE, key uuid UNIQUE, twice int GENERATED ALWAYS AS (id * 2) STORED);
        CREATE UNIQUE INDEX ON people (lower(code)) WHERE id > 0;
        CREATE TABLE profiles (person smallint PRIMARY KEY REFERENCES people DEFERRABLE INITIALLY DEFERRED);
        CREATE TABLE friends (a smallint REFERENCES people, b smallint REFERENCES people, PRIMARY KEY (a, b));
        CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree);
        INSERT INTO people VALUES (1, 'a@example.com', 'abcd', 9999.99, 'infinity', gen_random_uuid()),
          (32767, 'b@example.com', 'abce', 1, now(), gen_random_uuid());
        INSERT INTO profiles VALUES (1);
        INSERT INTO friends VALUES (1, 32767);
        INSERT INTO tree VALUES (1, NULL), (2, 1);
        """
    )
    blocking = make_blocking()

    blocking.prepare(["people", "tree"])

    # Each of the two people is someone's friend, and the key of no other row may become theirs.
    left = [note for note in blocking.notes if "public.people has no row" not in note]
    assert left == []
    blocked = at(blocking, hold, "LOCK TABLE people IN EXCLUSIVE MODE")
    for table in ("people", "profiles", "friends"):
        assert blocked[f"INSERT into public.{table}"].tried


@pytest.mark.usefixtures("shop")
def test_queries_are_called_by_their_files(
    make_blocking: MakeBlocking, connect: Callable[[], Connection], hold: Hold, tmp_path: Path
) -> None:
    written = {
        "a_report.sql": "SELECT c.name, count(*)\nFROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY 1;\n",
        "b_syntax.sql": "SELECT *\nFORM customers",
        "c_two.sql": "SELECT 1; DROP TABLE customers",
        "d_later.sql": "SELECT 1 FROM refunds",
        "e_commit.sql": "COMMIT",
        "f_ends.sql": "SELECT pg_terminate_backend(pg_backend_pid())",
        "g_nothing.sql": "-- later\n",
        "h_parameters.sql": "SELECT * FROM orders WHERE id = $1 AND note = :note AND note <> ':no'",
        "i_clash.sql": "INSERT INTO settings VALUES ('theme', 'x')",
    }
    for name, text in written.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "j_binary.sql").write_bytes(b"\xff\xfe\x00")
    queries = read_queries([tmp_path, tmp_path / "missing.sql"])
    blocking = make_blocking(*queries)

    blocking.prepare(["customers"])

    notes = {note.split(" (")[0].removeprefix("the query of "): note for note in blocking.notes}
    assert 'syntax error at or near "FORM", line 2' in notes["b_syntax.sql"]
    assert str(tmp_path / "b_syntax.sql") in notes["b_syntax.sql"]
    assert "multiple commands" in notes["c_two.sql"]
    assert 'relation "refunds" does not exist, line 1' in notes["d_later.sql"]
    assert "syntax error" in notes["e_commit.sql"]
    assert "ends sessions by pg_terminate_backend" in notes["f_ends.sql"]
    assert "it holds no query" in notes["g_nothing.sql"]
    assert "could be planned, not run" in notes["i_clash.sql"]
    assert "not UTF-8" in notes["j_binary.sql"]
    assert "No such file" in notes["missing.sql"]
    planned = connect().info.server_version >= 160000
    assert ("planned, not run" if planned else "PostgreSQL 16") in notes["h_parameters.sql"]

    blocked = at(blocking, hold, "LOCK TABLE orders")
    report = blocked["the query of a_report.sql"]
    assert (report.file, report.tried) == (str(tmp_path / "a_report.sql"), True)
    assert ("the query of h_parameters.sql" in blocked) is planned
    assert at(blocking, hold, "LOCK TABLE settings")["the query of i_clash.sql"].tried


@pytest.mark.usefixtures("shop")
def test_a_query_runs_once_its_table_is_there(make_blocking: MakeBlocking, hold: Hold, run: Run) -> None:
    blocking = make_blocking(AppQuery("refunds", "SELECT * FROM refunds", "refunds.sql"))
    blocking.prepare([])
    assert "does not exist" in blocking.notes[0]

    run("CREATE TABLE refunds (id int)")
    blocking.prepare([])

    assert blocking.notes == ()
    assert at(blocking, hold, "LOCK TABLE refunds")["refunds"].tried


@pytest.mark.usefixtures("shop")
def test_a_lost_connection_opens_again(make_blocking: MakeBlocking, run: Run) -> None:
    blocking = make_blocking()
    blocking.prepare(["orders"])

    def end_others() -> None:
        ended = run(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        assert ended == [(True,)]

    end_others()
    blocking.prepare(["orders"])
    assert blocking.statements
    end_others()
    [(oid,)] = run("BEGIN; LOCK TABLE orders; SELECT 'orders'::regclass::oid::int8")
    blocked = blocking.at_hold({oid: Mode.ACCESS_EXCLUSIVE}, {}, try_them=True)
    run("ROLLBACK")
    assert [one.tried for one in blocked] == [True] * len(blocked)
    assert blocked


def test_without_a_connection_there_is_a_note(connect: Callable[[], Connection]) -> None:
    connection = connect()

    def refused() -> Connection:
        connection.close()
        connection.execute("SELECT 1")
        return connection

    blocking = Blocking(refused)
    blocking.prepare(["orders"])
    assert blocking.notes == ("what the application does could not be recorded: the connection is closed",)
    assert blocking.at_hold({1: Mode.ACCESS_EXCLUSIVE}, {}, try_them=True) == ()
