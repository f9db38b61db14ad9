"""A full check of a filled database that trusts nothing the server enforced when the rows came in."""

from __future__ import annotations

from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

_CHECKS = """
SELECT conrelid::regclass::text, conname, pg_get_expr(conbin, conrelid) FROM pg_constraint
WHERE contype = 'c' AND conrelid <> 0 AND connamespace::regnamespace::text !~ '^(pg_|information_schema)'
"""
_KEYS = """
SELECT conrelid::regclass::text, conname, confrelid::regclass::text,
       (SELECT string_agg(format('c.%I = p.%I', a.attname, b.attname), ' AND ')
        FROM unnest(conkey, confkey) u (x, y)
        JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = u.x
        JOIN pg_attribute b ON b.attrelid = confrelid AND b.attnum = u.y),
       (SELECT string_agg(format('c.%I IS NOT NULL', a.attname), CASE confmatchtype WHEN 'f' THEN ' OR ' ELSE ' AND ' END)
        FROM unnest(conkey) u (x) JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = u.x),
       (SELECT relkind = 'p' FROM pg_class WHERE oid = confrelid)
FROM pg_constraint WHERE contype = 'f' AND conparentid = 0
"""
_DOMAINS = """
SELECT a.attrelid::regclass::text, quote_ident(a.attname), t.typbasetype::regtype::text, a.atttypid::regtype::text
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_class c ON c.oid = a.attrelid
WHERE t.typtype = 'd' AND c.relkind IN ('r', 'p') AND NOT a.attisdropped
  AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
"""
_SEQUENCES = """
SELECT a.attrelid::regclass::text, quote_ident(a.attname), pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
  AND pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) IS NOT NULL
"""


def rows(connection: Connection, text: str) -> list[tuple[Any, ...]]:
    return connection.execute(text.encode()).fetchall()


def violations(connection: Connection) -> list[str]:
    """CHECK constraints, foreign keys and domains that some row breaks."""
    connection.execute("SET search_path = ''")
    broken = [
        f"{table} {name}"
        for table, name, expression in rows(connection, _CHECKS)
        if rows(connection, f"SELECT 1 FROM {table} WHERE ({expression}) IS FALSE LIMIT 1")
    ]
    for table, name, parent, match, present, partitioned in rows(connection, _KEYS):
        source = parent if partitioned else f"ONLY {parent}"
        missing = f"NOT EXISTS (SELECT FROM {source} p WHERE {match})"
        if rows(connection, f"SELECT 1 FROM {table} c WHERE ({present}) AND {missing} LIMIT 1"):
            broken.append(f"{table} {name}")
    for table, name, base, domain in rows(connection, _DOMAINS):
        # The cast to the domain evaluates its CHECKs again and raises.
        rows(connection, f"SELECT count({name}::{base}::{domain}) FROM {table}")
    return broken


def colliding_sequences(connection: Connection) -> list[str]:
    """Columns whose sequence would hand out a value that a row already has; an exhausted sequence hands out none."""
    connection.execute("SET search_path = ''")
    found = []
    for table, column, sequence in rows(connection, _SEQUENCES):
        try:
            value = rows(connection, f"SELECT nextval('{sequence.replace(chr(39), chr(39) * 2)}')")[0][0]
        except psycopg.errors.SequenceGeneratorLimitExceeded:
            continue
        if rows(connection, f"SELECT 1 FROM {table} WHERE {column} = {value}"):
            found.append(f"{table}.{column}")
    return found
