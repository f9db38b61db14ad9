from __future__ import annotations

import pytest

from pytest_pgmigrate.seeding import FakeSeeder
from pytest_pgmigrate.seeding.bulk import BULK_FROM, POOL
from tests.seeding.conftest import Make
from tests.seeding.helpers import SHOP, column, count, dump
from tests.seeding.recheck import colliding_sequences, violations

ROWS = BULK_FROM + 500

KEYS = """
CREATE TABLE t (
  id uuid PRIMARY KEY, email varchar(40) NOT NULL UNIQUE, login varchar(11) NOT NULL UNIQUE, n smallint NOT NULL UNIQUE,
  seen timestamptz NOT NULL UNIQUE, digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 20),
  "select" text NOT NULL UNIQUE CHECK ("select" <> 'x'), price numeric(6,2) NOT NULL, low numeric(6,2) NOT NULL,
  net numeric(6,2) GENERATED ALWAYS AS (price - low) STORED CHECK (net >= 0), CHECK (low <= price));
"""


def fill(connection: object, rows: int = ROWS) -> dict[str, tuple[str, int]]:
    reports = FakeSeeder(seed=1, rows=rows).fill(connection, exclude_schemas=[])  # type: ignore[arg-type]
    return {report.table: (report.status, report.filled) for report in reports}


def test_many_rows_keep_every_constraint(make: Make, server: str) -> None:
    connection = make(server, SHOP)
    assert set(fill(connection).values()) == {("full", ROWS)}
    assert violations(connection) == []
    assert colliding_sequences(connection) == []
    for name in ("email", "phone"):
        # Nobody shares an address or a telephone, constraint or not: what a migration may be about to ask.
        present = [value for value in column(connection, "public.users", name) if value is not None]
        assert len(set(present)) == len(present)


def test_what_differs_is_counted_up_on_the_server(make: Make, server: str) -> None:
    connection = make(server, KEYS)
    assert fill(connection) == {"public.t": ("full", ROWS)}
    assert violations(connection) == []
    made = f"email ~ '1[0-9]{{7}}@' AND length(login) <= 11 AND n > {POOL}"
    assert count(connection, f"public.t WHERE {made}") >= ROWS - POOL


@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE TABLE t (sku text PRIMARY KEY CHECK (sku ~ '^[A-Z]{3}-[0-9]{4}$'))",
        "CREATE TABLE p (id serial PRIMARY KEY); CREATE TABLE t (p_id int PRIMARY KEY REFERENCES p)",
        "CREATE TABLE t (v varchar(3) PRIMARY KEY)",
        "CREATE TABLE t (w int NOT NULL, label text GENERATED ALWAYS AS ('x' || w::text) STORED UNIQUE)",
        "CREATE TABLE t (starts int NOT NULL, ends int NOT NULL, EXCLUDE USING gist (int4range(starts, ends) WITH &&))",
        "CREATE TABLE t (pos int NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TABLE t (id int, d date, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);"
        " CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
    ],
    ids=["pattern", "one-to-one", "short", "generated", "span", "deferrable", "partitions"],
)
def test_where_the_server_cannot_count_the_rows_come_all_the_same(make: Make, server: str, ddl: str) -> None:
    connection = make(server, ddl)
    assert fill(connection)["public.t"] == ("full", ROWS)
    assert violations(connection) == []


def test_many_rows_are_the_same_ones_each_time(make: Make) -> None:
    first, second = (make(name, SHOP) for name in ("embedded_cluster", "local_cluster"))
    assert fill(first) == fill(second)
    assert dump(first) == dump(second)


def test_pairs_of_parents_come_once_each(make: Make, server: str) -> None:
    connection = make(
        server,
        "CREATE TABLE a (id serial PRIMARY KEY, few bool NOT NULL); CREATE TABLE b (id uuid PRIMARY KEY);"
        "CREATE TABLE t (a_id int REFERENCES a, b_id uuid REFERENCES b, note text, PRIMARY KEY (a_id, b_id));"
        "CREATE TABLE u (a_id int REFERENCES a, other int REFERENCES a CHECK (other <> a_id), UNIQUE (a_id, other))",
    )
    assert set(fill(connection).values()) == {("full", ROWS)}
    assert violations(connection) == []
    # Made by a client, the rows would all point to the first parents it read.
    assert len(set(column(connection, "public.t", "a_id"))) > POOL
    assert len(set(column(connection, "public.t", "b_id"))) > POOL
