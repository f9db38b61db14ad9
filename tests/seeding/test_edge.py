from __future__ import annotations

from collections import Counter

import pytest

from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.seeding import FakeSeeder
from tests.seeding.conftest import Make
from tests.seeding.recheck import rows, violations
from tests.seeding.torture import loadable

USERS = """
CREATE TABLE teams (id int PRIMARY KEY, name varchar(30) NOT NULL);
CREATE TABLE users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  team_id int REFERENCES teams,
  email text NOT NULL UNIQUE,
  phone text,
  age int CHECK (age >= 0),
  balance numeric(8, 2) NOT NULL DEFAULT 0,
  born date,
  tags text[] NOT NULL DEFAULT '{}'
)
"""


def test_each_boundary_is_tried_and_what_a_constraint_refuses_is_left_out(make: Make, server: str) -> None:
    connection = make(server, USERS)
    seeder = FakeSeeder(seed=1, rows=20)
    seeder.fill(connection, exclude_schemas=[])
    edge = seeder.write_edge(connection, exclude_schemas=[], tables=["public.users"])
    tried = Counter((row.column, row.name) for row in edge)
    assert {("phone", "NULL"), ("phone", "''"), ("phone", "a duplicate"), ("age", "0"), ("balance", "-1")} <= set(tried)
    assert {("team_id", "NULL"), ("born", "infinity"), ("tags", "{NULL}"), ("balance", "the largest number")} <= set(
        tried
    )
    assert set(tried.values()) == {1}
    # NOT NULL, UNIQUE, CHECK, foreign key and the primary key itself.
    assert not {("email", "NULL"), ("email", "a duplicate"), ("age", "-1"), ("team_id", "-1")} & set(tried)
    assert "id" not in {row.column for row in edge}
    by_key = {row.key["id"]: row for row in edge}
    stored = {
        key: {"phone": phone, "balance": balance}
        for key, phone, balance in rows(connection, "SELECT id::text, phone, balance::text FROM users")
    }
    assert len(by_key) == len(edge) == len(stored) - 20
    for key, row in by_key.items():
        if row.column == "phone":
            assert stored[key]["phone"] == row.value
        if row.name == "the largest number" and row.column == "balance":
            assert stored[key]["balance"] == "999999.99"
    assert violations(connection) == []


def test_a_choice_of_edge_rows_gives_the_same_rows_as_all_of_them(make: Make, server: str) -> None:
    seeder = FakeSeeder(seed=1, rows=20)
    found = []
    for wanted in (None, lambda table, column, name: column in ("phone", "born")):
        connection = make(server, USERS)
        seeder.fill(connection, exclude_schemas=[])
        edge = seeder.write_edge(connection, exclude_schemas=[], tables=["public.users"], wanted=wanted)
        found.append([row for row in edge if row.column in ("phone", "born")])
        if wanted is not None:
            assert {row.column for row in edge} == {"phone", "born"}
    assert found[0] == found[1] != []


def test_no_schema_is_too_odd_for_edge_rows(make: Make, server: str, request: pytest.FixtureRequest) -> None:
    cluster: Cluster = request.getfixturevalue(server)
    _, ddl = loadable(cluster.extensions())
    connection = make(server, ddl)
    seeder = FakeSeeder(seed=1, rows=20)
    names = [report.table for report in seeder.fill(connection, exclude_schemas=[])]
    edge = seeder.write_edge(connection, exclude_schemas=[], tables=names)
    assert len({row.table for row in edge}) > len(names) // 2
    assert violations(connection) == []


BEFORE = """
CREATE TYPE level AS ENUM ('low', 'high', 'extreme');
CREATE TABLE accounts (id serial PRIMARY KEY, status text NOT NULL, code text NOT NULL, level level NOT NULL,
                       nick text, size bigint NOT NULL, owner_id int NOT NULL);
CREATE TABLE people (id serial PRIMARY KEY, name text NOT NULL)
"""
AFTER = """
CREATE TYPE level AS ENUM ('low', 'high');
CREATE TYPE status AS ENUM ('on', 'off');
CREATE TABLE people (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE accounts (id serial PRIMARY KEY, status status NOT NULL, code int NOT NULL CHECK (code > 100),
                       level level NOT NULL, nick varchar(8) NOT NULL UNIQUE, size int NOT NULL,
                       owner_id int NOT NULL REFERENCES people)
"""


def test_rows_fit_two_versions_of_a_schema(make: Make, server: str) -> None:
    seeder = FakeSeeder(seed=1, rows=30)
    after = seeder.read_schema(make(server, AFTER), exclude_schemas=[])
    connection = make(server, BEFORE)
    reports = seeder.fill(connection, exclude_schemas=[], also=after)
    assert {(report.table, report.filled, report.status) for report in reports} == {
        ("public.accounts", 30, "full"),
        ("public.people", 30, "full"),
    }
    fitting = rows(
        connection,
        "SELECT count(*), count(DISTINCT nick) FROM accounts JOIN people p ON p.id = owner_id"
        " WHERE status IN ('on', 'off') AND code::int > 100 AND level <> 'extreme' AND length(nick) <= 8"
        " AND size = size::int",
    )
    assert fitting == [(30, 30)]
