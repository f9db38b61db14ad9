"""What a seed file says of columns and tables is what the rows are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pgmigrate.model.cluster import SeedReport
from pytest_pgmigrate.seeding import FakeSeeder
from pytest_pgmigrate.seeding.config import read_seed_file
from pytest_pgmigrate.seeding.hooks import Wanted
from tests.seeding.conftest import Connection, Make
from tests.seeding.helpers import SHOP, column, count, dump, violations

OURS = ("pgmigrate",)


def seeder(folder: Path, toml: str, *, rows: int = 20, seed: int = 3, versions: tuple[str, ...] = ()) -> FakeSeeder:
    """A seeder with this seed file."""
    path = folder / "pgmigrate-seed.toml"
    path.write_text(toml, encoding="utf-8")
    return FakeSeeder(seed, rows, Wanted(read_seed_file(path, folder), versions=versions))


def filled(connection: Connection, one: FakeSeeder) -> dict[str, SeedReport]:
    """Fill; the reports by table."""
    return {report.table: report for report in one.fill(connection, exclude_schemas=OURS)}


ALL_WAYS = """
skip = ["users_backup"]

[columns]
"users.email" = "faker.company_email"
"public.users.phone" = {faker = "numerify", args = {text = "+49 30 ####"}}
"users.first_name" = ["Ada", "Grace"]
"users.last_name" = {list = ["Lovelace"], null_rate = 0.5}
"users.deleted_at" = {null_rate = 0}
"products.sku" = {sql = "'A-' || i"}
"products.price" = {faker = "pydecimal", args = {left_digits = 2, right_digits = 2, positive = true}}
orders.status = ["paid"]

[rows]
orders = 50
order_items = 0
"""


def test_every_way_to_give_values(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(server, SHOP)
    reports = filled(connection, seeder(tmp_path, ALL_WAYS))
    emails = column(connection, "users", "email")
    assert len(set(emails)) == 20
    assert not any(email.endswith("@example.com") for email in emails), "ours end so"
    assert all(phone.startswith("+49 30 ") and len(phone) == 11 for phone in column(connection, "users", "phone"))
    assert set(column(connection, "users", "first_name")) == {"Ada", "Grace"}
    last = column(connection, "users", "last_name")
    assert set(last) == {"Lovelace", None}
    assert 4 <= last.count(None) <= 16
    assert None not in column(connection, "users", "deleted_at")
    assert sorted(column(connection, "products", "sku"), key=len) == [f"A-{i}" for i in range(1, 21)]
    assert all(0 < price < 100 for price in column(connection, "products", "price"))
    assert set(column(connection, "orders", "status")) == {"paid"}
    assert {table: count(connection, table) for table in ("users", "orders", "order_items", "users_backup")} == {
        "users": 20,
        "orders": 50,
        "order_items": 0,
        "users_backup": 0,
    }
    assert (reports["public.orders"].status, reports["public.orders"].filled) == ("full", 50)
    assert reports["public.users_backup"].status == "skipped"
    assert "skipped by pgmigrate-seed.toml" in reports["public.users_backup"].reason
    assert (reports["public.order_items"].status, reports["public.order_items"].filled) == ("skipped", 0)
    assert violations(connection) == []


def test_the_same_seed_gives_the_same_rows(make: Make, server: str, tmp_path: Path) -> None:
    first, second, other = (make(server, SHOP) for _ in range(3))
    filled(first, seeder(tmp_path, ALL_WAYS))
    filled(second, seeder(tmp_path, ALL_WAYS))
    filled(other, seeder(tmp_path, ALL_WAYS, seed=4))
    users = "SELECT email, phone, first_name, last_name FROM users ORDER BY id"
    assert first.execute(users).fetchall() == second.execute(users).fetchall()
    assert first.execute(users).fetchall() != other.execute(users).fetchall()


def test_both_servers_get_the_same_bytes(make: Make, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    for name in ("embedded_cluster", "local_cluster"):
        request.getfixturevalue(name)
    one, two = make("embedded_cluster", SHOP), make("local_cluster", SHOP)
    filled(one, seeder(tmp_path, ALL_WAYS))
    filled(two, seeder(tmp_path, ALL_WAYS))
    assert dump(one) == dump(two)


def test_rows_written_later_follow_too(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(server, SHOP)
    one = seeder(tmp_path, ALL_WAYS + "users = 4\n")
    filled(connection, one)
    one.write_more(connection, exclude_schemas=OURS, rows=3)
    assert count(connection, "users") == 7
    assert len(set(column(connection, "users", "email"))) == 7
    assert {"A-21", "A-23"} <= set(column(connection, "products", "sku"))
    assert count(connection, "order_items") == count(connection, "users_backup") == 0
    assert count(connection, "orders") == 53


def test_values_of_a_new_column(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(server, "CREATE TABLE users (id int PRIMARY KEY)")
    one = seeder(tmp_path, '[columns]\n"users.plan" = ["free", "pro"]\n"users.code" = {sql = "i * 10"}\n')
    filled(connection, one)
    connection.execute("ALTER TABLE users ADD plan text, ADD code int")
    one.fill_columns(connection, exclude_schemas=OURS, columns=[("public.users", "plan"), ("public.users", "code")])
    assert set(column(connection, "users", "plan")) == {"free", "pro"}
    assert sorted(column(connection, "users", "code")) == [10 * i for i in range(1, 21)]


def test_a_reference_table_gets_no_row(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(
        server,
        "CREATE TABLE countries (code char(2) PRIMARY KEY); INSERT INTO countries VALUES ('DE'), ('FR');"
        "CREATE TABLE plans (id int PRIMARY KEY);"
        "CREATE TABLE users (id int PRIMARY KEY, country char(2) NOT NULL REFERENCES countries);"
        "CREATE TABLE paying (id int PRIMARY KEY, plan int NOT NULL REFERENCES plans)",
    )
    one = seeder(tmp_path, 'reference = ["countries", "public.plans"]\n')
    reports = filled(connection, one)
    one.write_more(connection, exclude_schemas=OURS, rows=3)
    assert sorted(column(connection, "countries", "code")) == ["DE", "FR"]
    assert count(connection, "users") == 23
    assert count(connection, "plans") == count(connection, "paying") == 0
    assert "a reference table" in reports["public.plans"].reason
    assert reports["public.paying"].cause.startswith("public.plans: a reference table"), (
        "the child's cause is its parent"
    )


def test_the_more_exact_pattern_wins(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(
        server,
        "CREATE SCHEMA other; CREATE TABLE a (id int PRIMARY KEY, tag text, note text);"
        "CREATE TABLE other.a (id int PRIMARY KEY, tag text, note text); CREATE TABLE b (id int PRIMARY KEY, tag text)",
    )
    toml = '[columns]\n"other.a.tag" = ["exact"]\n"a.tag" = ["table"]\n"*.tag" = ["any"]\n"*.*" = {null_rate = 0}\n'
    filled(connection, seeder(tmp_path, toml + '"a.n*" = ["n"]\n"b.id" = {sql = "1000 + i"}\n'))
    found = {table: set(column(connection, table, "tag")) for table in ("a", "other.a", "b")}
    assert found == {"a": {"table"}, "other.a": {"exact"}, "b": {"any"}}
    assert set(column(connection, "a", "note")) == {"n"}
    assert min(column(connection, "b", "id")) == 1001


def test_a_pin_holds_from_its_version_on(make: Make, server: str, tmp_path: Path) -> None:
    ddl = "CREATE TABLE users (id int PRIMARY KEY, phone text)"
    toml = '[columns]\n"users.phone" = {list = ["+49"], null_rate = 1}\n[from."000012".columns]\n"*.phone" = {null_rate = 0}\n'
    one = seeder(tmp_path, toml, versions=("000011", "000012", "13"))
    for version, expected in (("000011", {None}), ("000012", {"+49"}), ("13", {"+49"})):
        connection = make(server, ddl)
        one.at(version)
        filled(connection, one)
        assert set(column(connection, "users", "phone")) == expected, version


def test_references_may_be_pinned(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(
        server,
        "CREATE TABLE users (id int PRIMARY KEY);"
        "CREATE TABLE notes (id int PRIMARY KEY, owner int REFERENCES users, deleted_by int REFERENCES users,"
        " reader int REFERENCES users, parent int REFERENCES notes)",
    )
    toml = (
        '[columns]\n"notes.owner" = {sql = "(SELECT min(id) FROM users)"}\n"notes.deleted_by" = {null_rate = 0}\n'
        '"notes.reader" = {null_rate = 1}\n"notes.parent" = {null_rate = 0}\n'
    )
    assert filled(connection, seeder(tmp_path, toml))["public.notes"].status == "full"
    assert len(set(column(connection, "notes", "owner"))) == 1
    assert None not in column(connection, "notes", "deleted_by")
    assert len(set(column(connection, "notes", "deleted_by"))) > 3
    assert set(column(connection, "notes", "reader")) == {None}
    assert None not in column(connection, "notes", "parent")


def test_numbers_of_a_serial_column_go_on_behind_the_users_own(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(server, "CREATE TABLE users (id serial PRIMARY KEY, name text)")
    filled(connection, seeder(tmp_path, '[columns]\n"users.id" = {sql = "500 + i"}\n'))
    assert connection.execute("INSERT INTO users (name) VALUES ('x') RETURNING id").fetchone() == (521,)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('{sql = "no_such_column + i"}', '42703 column "no_such_column" does not exist'),
        ('{sql = "1) FROM x; --"}', "42601"),
        ('{sql = "(SELECT generate_series(1, 2) FROM (SELECT) x)"}', "21000"),
        ('{faker = "pydecimal", args = {digits = 3}}', "TypeError"),
        ('{list = ["gold"]}', "users_plan_check"),
    ],
)
def test_what_cannot_be_used_is_the_tables_reason(
    make: Make, server: str, tmp_path: Path, given: str, said: str
) -> None:
    connection = make(
        server,
        "CREATE TABLE users (id int PRIMARY KEY, plan text CHECK (plan IN ('free', 'pro'))); CREATE TABLE b (id int)",
    )
    reports = filled(connection, seeder(tmp_path, f'[columns]\n"users.plan" = {given}\n'))
    assert reports["public.users"].status == "empty"
    assert said in reports["public.users"].reason
    assert reports["public.b"].status == "full", "the others are filled"


def test_a_null_rate_of_a_not_null_column_is_said(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(server, "CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL)")
    one = seeder(tmp_path, '[columns]\n"users.name" = {null_rate = 0.5}\n')
    assert filled(connection, one)["public.users"].status == "full"
    assert one.notes() == ("pgmigrate-seed.toml: public.users.name is NOT NULL: its null_rate is not used",)


def test_many_rows_on_the_server(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(
        server,
        "CREATE TABLE a (id serial PRIMARY KEY, email text UNIQUE, plan text, code text);"
        "CREATE TABLE b (id serial PRIMARY KEY, email text, plan text)",
    )
    toml = (
        '[columns]\n"a.email" = "faker.company_email"\n"*.plan" = {list = ["x", "y"], null_rate = 0.3}\n'
        '"a.code" = {sql = "i::text"}\n"b.email" = ["same@example.com"]\n'
    )
    reports = filled(connection, seeder(tmp_path, toml, rows=3000))
    assert {report.status for report in reports.values()} == {"full"}, reports
    assert len(set(column(connection, "a", "code"))) == 3000
    assert set(column(connection, "b", "email")) == {"same@example.com"}
    assert 600 < column(connection, "b", "plan").count(None) < 1200


def test_names_that_no_database_has(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(server, SHOP)
    toml = 'skip = ["nowhere", "users_*"]\n[columns]\n"users.emial" = ["x"]\n"*.created_at" = {null_rate = 0}\n[rows]\nordres = 3\n'
    one = seeder(tmp_path, toml, versions=("1",))
    one.at("1")
    assert one.unknown() == (), "nothing seen yet"
    filled(connection, one)
    assert sorted(one.unknown()) == [
        "pgmigrate-seed.toml:1 names nowhere",
        "pgmigrate-seed.toml:3 names users.emial",
        "pgmigrate-seed.toml:6 names ordres",
    ]


def test_a_cycle_of_references(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(
        server,
        "CREATE TABLE a (id int PRIMARY KEY, b int NOT NULL, tag text); CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL"
        " REFERENCES a, code text); ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b",
    )
    toml = '[columns]\n"a.tag" = ["t"]\n"b.code" = {sql = "\'c\' || i"}\n[rows]\na = 6\nb = 4\n'
    filled(connection, seeder(tmp_path, toml))
    assert (set(column(connection, "a", "tag")), count(connection, "a")) == ({"t"}, 6)
    assert sorted(column(connection, "b", "code")) == ["c1", "c2", "c3", "c4"]
    assert violations(connection) == []


def test_a_reference_that_only_a_name_tells_of_is_the_users_too(make: Make, server: str, tmp_path: Path) -> None:
    ddl = "CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE notes (id int PRIMARY KEY, user_id int)"
    connection = make(server, ddl)
    filled(connection, seeder(tmp_path, '[columns]\n"notes.user_id" = [7]\n'))
    assert set(column(connection, "notes", "user_id")) == {7}


def test_a_value_that_no_parent_has_is_the_reason(make: Make, server: str, tmp_path: Path) -> None:
    ddl = "CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE notes (id int PRIMARY KEY, owner int REFERENCES users)"
    connection = make(server, ddl)
    report = filled(connection, seeder(tmp_path, '[columns]\n"notes.owner" = [-7]\n'))["public.notes"]
    assert (report.status, report.reason[:5]) == ("empty", "23503")


def test_pairs_that_may_come_once_and_are_the_users(make: Make, server: str, tmp_path: Path) -> None:
    connection = make(
        server,
        "CREATE TABLE users (id serial PRIMARY KEY); CREATE TABLE tags (id serial PRIMARY KEY);"
        "CREATE TABLE tagged (user_id int NOT NULL REFERENCES users, tag_id int NOT NULL REFERENCES tags,"
        " PRIMARY KEY (user_id, tag_id))",
    )
    one = seeder(
        tmp_path, '[columns]\n"tagged.tag_id" = {sql = "1 + i % 2"}\n[rows]\nusers = 1500\ntags = 2\n', rows=2000
    )
    assert filled(connection, one)["public.tagged"].filled > 1000
    assert set(column(connection, "tagged", "tag_id")) == {1, 2}
    assert violations(connection) == []


def test_faker_is_asked_again_for_a_value_that_is_taken(make: Make, server: str, tmp_path: Path) -> None:
    """One statement inserts both tables: a single pair of equal values would keep all rows out."""
    connection = make(
        server,
        "CREATE TABLE a (id int PRIMARY KEY, b int NOT NULL, code text UNIQUE);"
        "CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a); ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b",
    )
    reports = filled(connection, seeder(tmp_path, '[columns]\n"a.code" = "faker.state_abbr"\n', rows=30))
    assert reports["public.a"].status == "full", reports
    assert len(set(column(connection, "a", "code"))) == 30
