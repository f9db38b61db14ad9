"""What the text of a backfill says of the value it replaces, and of the rows that all its batches take."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.execution.drills._old_value import capacity, old_values

SET = "UPDATE orders SET status = 'new' WHERE"


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [
        (f"{SET} status = 'old' AND id < 10;", "status", "'old'"),
        (f"{SET} id IN (SELECT o.id FROM orders AS o WHERE o.status = 'o''ld' LIMIT 5);", "status", "'o''ld'"),
        (f"{SET} orders.status IN ('old', 'older');", "status", "'old'"),
        ("UPDATE shop.orders AS o SET a = 1, status = 2 WHERE o.status = 1;", "status", "1"),
        ("UPDATE orders SET done = TRUE WHERE NOT done AND id < 10;", "done", "false"),
        ("UPDATE orders SET done = true WHERE id < 10 AND done IS FALSE;", "done", "false"),
        ("UPDATE orders SET done = true WHERE done = FALSE;", "done", "FALSE"),
        (
            "WITH batch AS (SELECT id FROM orders WHERE status = 'old' LIMIT 5 FOR UPDATE SKIP LOCKED) "
            "UPDATE orders SET status = 'new' FROM batch WHERE batch.id = orders.id;",
            "status",
            "'old'",
        ),
        (
            "WITH batch AS MATERIALIZED (SELECT o.id FROM orders o WHERE o.status = 'old'::text AND NOT (o.id = 1) LIMIT 5) "
            "UPDATE orders SET status = 'new' FROM batch WHERE batch.id = orders.id;",
            "status",
            "'old'",
        ),
        (
            f"{SET} id IN (SELECT id FROM orders WHERE status = 'old' AND id < (SELECT max(id) FROM orders LIMIT 1) LIMIT 5);",
            "status",
            "'old'",
        ),
        (
            "FOR r IN SELECT id FROM orders WHERE status = 'old' LOOP\n UPDATE orders SET status = 'new' WHERE id = r.id;",
            "status",
            "'old'",
        ),
    ],
)
def test_the_value_that_is_replaced(text: str, column: str, value: str) -> None:
    assert next(old_values(text, "shop.orders")) == (column, value)


@pytest.mark.parametrize(
    "text",
    [
        f"{SET} id < 10;",
        f"{SET} status <> 'new' AND id < 10;",
        f"{SET} status = 'new';",
        f"{SET} id < 10; SELECT 1 FROM orders WHERE status = 'old';",
        f"{SET} id < 10 -- AND status = 'old'\n;",
        "UPDATE orders SET touched = now() WHERE status = 'old';",
        "UPDATE users SET status = 'new' WHERE status = 'old';",
        "UPDATE orders SET status = 'new' FROM picked p WHERE p.id = orders.id AND p.status = 'old';",
        f"{SET} id IN (SELECT order_id FROM picked WHERE status = 'old');",
        "DELETE FROM orders WHERE status = 'old';",
        "UPDATE orders SET price = price * 2 WHERE price > 0;",
        # A condition that is turned round, and a literal that is only a part of what is compared.
        f"{SET} id < 10 AND NOT status = 'old';",
        f"{SET} NOT (status = 'old');",
        f"{SET} NOT (id < 10 AND note <> ')' AND (status = 'old'));",
        f"{SET} id NOT IN (SELECT id FROM orders WHERE status = 'old' LIMIT 5);",
        f"{SET} NOT EXISTS (SELECT FROM orders o WHERE o.status = 'old');",
        f"{SET} id < 10 AND status = 'old' || 'er';",
        f"{SET} id < 10 AND 'x' || status = 'old';",
        "UPDATE orders SET n = 7 WHERE n = 10 * 2;",
        "UPDATE orders SET n = 7 WHERE n = 10::int + 2;",
        "UPDATE orders SET n = 7 WHERE n = 1e3;",
        "UPDATE orders SET n = 7 WHERE n = 10.;",
        # Rows that are told by other rows of the table.
        f"{SET} status = 'old' AND id IN (SELECT o.id FROM orders o JOIN orders p USING (customer) WHERE p.id > o.id);",
        f"{SET} status = 'old' AND EXISTS (SELECT FROM orders p WHERE p.customer = orders.customer AND p.id > orders.id);",
        f"{SET} status = 'old' AND id NOT IN (SELECT max(id) FROM orders GROUP BY customer);",
        f"{SET} id IN (SELECT id FROM (SELECT id, rank() OVER (PARTITION BY customer ORDER BY id DESC) AS n"
        " FROM orders WHERE status = 'old') o WHERE n > 1 LIMIT 50);",
    ],
)
def test_what_tells_no_row_undone(text: str) -> None:
    assert list(old_values(text, "shop.orders")) == []


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("FOR i IN 1..10 LOOP … LIMIT 1000", 10_000),
        ("FOR i IN 0 .. 3 LOOP … LIMIT 1_0", 40),
        ("WHILE i < 10 LOOP … LIMIT 5", 50),
        ("WHILE i <= 10 LOOP … LIMIT 5", 55),
        ("LOOP … LIMIT 5; EXIT WHEN i >= 4;", 20),
        ("LOOP … LIMIT 5; EXIT WHEN changed = 0;", 0),
        ("DECLARE i INT := 0; LOOP … LIMIT 5; i := i + 1; RAISE NOTICE '%', i; EXIT WHEN i = 4;", 20),
        ("FOR n IN 1..3 LOOP … kind = 'n' LIMIT 5", 15),
        ("FOR i IN 1..last LOOP … LIMIT 5", 0),
        ("FOR c IN 1..5 LOOP … WHERE customer = c LIMIT 3", 0),
        ("WHILE c <= 5 LOOP … WHERE customer = c LIMIT 3; c := c + 1;", 0),
        ("FOR c IN 1..5 LOOP EXECUTE format('… customer = %s LIMIT 3', c);", 0),
        ("FOR c IN 1..5 LOOP FOR n IN 1..2 LOOP … WHERE customer = c LIMIT 3;", 0),
        ("FOR i IN 1..10 LOOP … id % 10 = i", 0),
        ("WHILE low <= 100000 LOOP … LIMIT 5", 0),
    ],
)
def test_rows_that_a_fixed_number_of_batches_takes(text: str, rows: int) -> None:
    assert capacity(text) == rows
