"""What the tests of the seeder ask of a filled database."""

from __future__ import annotations

from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

SHOP = """
CREATE TABLE users (
  id serial PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, phone varchar(20), first_name varchar(100),
  last_name varchar(100), created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz DEFAULT now(),
  deleted_at timestamptz);
CREATE TABLE products (
  id serial PRIMARY KEY, name varchar(255) NOT NULL, sku varchar(50) UNIQUE,
  price numeric(10,2) NOT NULL CHECK (price >= 0), stock int NOT NULL DEFAULT 0, attributes jsonb);
CREATE TABLE orders (
  id bigserial PRIMARY KEY, user_id int NOT NULL REFERENCES users ON DELETE CASCADE,
  status varchar(20) NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'paid', 'shipped', 'cancelled')),
  total numeric(12,2) NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE order_items (
  id bigserial PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, product_id int NOT NULL REFERENCES products,
  quantity int NOT NULL CHECK (quantity > 0), unit_price numeric(10,2) NOT NULL, UNIQUE (order_id, product_id));
CREATE TABLE orders_partitioned (
  id bigint GENERATED ALWAYS AS IDENTITY, user_id int NOT NULL REFERENCES users, status text NOT NULL,
  created_at timestamptz NOT NULL, PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
CREATE TABLE orders_2024_q1 PARTITION OF orders_partitioned FOR VALUES FROM ('2024-01-01') TO ('2024-04-01');
CREATE TABLE orders_2024_q2 PARTITION OF orders_partitioned FOR VALUES FROM ('2024-04-01') TO ('2024-07-01');
CREATE TABLE orders_2031 PARTITION OF orders_partitioned FOR VALUES FROM ('2031-01-01') TO ('2032-01-01');
CREATE TABLE users_backup (id int, email varchar(255), backed_up_at timestamptz DEFAULT now());
"""


def tables(connection: Connection) -> list[str]:
    """Ordinary and partitioned tables of public, not the partitions."""
    rows = connection.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
        "AND relnamespace = 'public'::regnamespace ORDER BY relname"
    )
    return [row[0] for row in rows]


def count(connection: Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def dump(connection: Connection) -> dict[str, list[str]]:
    """Every row of every table as text, sorted bytewise: the same bytes on every version, or not."""
    connection.execute("SET timezone = 'UTC'")
    found = {}
    for table in tables(connection):
        found[table] = sorted(row[0] for row in connection.execute(f"SELECT t::text FROM {table} t".encode()))
    return found


def violations(connection: Connection) -> list[str]:
    """CHECK constraints and foreign keys that some row breaks, found without trusting that they were enforced."""
    broken = []
    checks = connection.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_expr(conbin, conrelid) FROM pg_constraint "
        "WHERE contype = 'c' AND conrelid <> 0 AND connamespace = 'public'::regnamespace"
    ).fetchall()
    for table, name, expression in checks:
        if count(connection, f"{table} WHERE ({expression}) IS FALSE"):
            broken.append(f"{table} {name}")
    keys = connection.execute(
        """
        SELECT conrelid::regclass::text, conname, confrelid::regclass::text,
               (SELECT string_agg(format('c.%I = p.%I', a.attname, b.attname), ' AND ')
                FROM unnest(conkey, confkey) u (x, y)
                JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = u.x
                JOIN pg_attribute b ON b.attrelid = confrelid AND b.attnum = u.y),
               (SELECT string_agg(format('c.%I IS NOT NULL', a.attname), ' AND ')
                FROM unnest(conkey) u (x) JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = u.x)
        FROM pg_constraint WHERE contype = 'f' AND conparentid = 0
        """
    ).fetchall()
    for table, name, parent, match, present in keys:
        if count(connection, f"{table} c WHERE {present} AND NOT EXISTS (SELECT FROM {parent} p WHERE {match})"):
            broken.append(f"{table} {name}")
    return broken


def column(connection: Connection, table: str, name: str) -> list[Any]:
    return [row[0] for row in connection.execute(f"SELECT {name} FROM {table}".encode())]
