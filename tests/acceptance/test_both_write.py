"""Two sessions that write at the same moment, one step of the history between them: interleaved by locks, not by luck.

The step runs in a thread; the writer's transaction is open on a row when it begins, and ends only once the server says that
the step waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate.discovery.folders import load_history
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.migration import Script, TransactionRule
from tests.acceptance.histories import FIXTURES

PRICE = FIXTURES / "ecommerce" / "price_type_change" / "good"
RECONCILED = FIXTURES / "expand_contract" / "reconciled"
EQUAL_COUNTS = FIXTURES / "expand_contract" / "isolated" / "equal_counts"
PATIENCE = 60.0
"""Seconds after which a step that neither ends nor waits for a lock is given up."""

Connection = psycopg.Connection[Any]


def _send(connection: Connection, script: Script) -> None:
    for chunk in script.chunks:
        one_by_one = chunk.rule is TransactionRule.NONE
        for text in [s.text for s in chunk.statements] if one_by_one else [chunk.text]:
            connection.execute(text.encode())


class Shop:
    """A database of its own; ``old`` and ``new`` are sessions of the two releases, in transactions that they end themselves."""

    def __init__(self, cluster: Cluster, name: str, folder: Path) -> None:
        self.migrations = load_history(folder, folder.parent).migrations
        self.control = cluster.connect(name)
        self.runner = cluster.connect(name)
        self.old = cluster.connect(name, autocommit=False)
        self.new = cluster.connect(name, autocommit=False)

    def close(self) -> None:
        for connection in (self.old, self.new, self.runner, self.control):
            connection.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.control.execute(query.encode()).fetchall()

    def up(self, *numbers: int) -> None:
        """Run these steps with nobody in between."""
        for number in numbers:
            _send(self.runner, self.migrations[number - 1].up)

    def up_behind(self, number: int, writer: Connection) -> None:
        """Run a step that has to wait for the writer's open transaction, which commits as soon as it does."""
        self._behind(lambda: _send(self.runner, self.migrations[number - 1].up), self.runner, writer)

    def write_behind(self, second: Connection, statement: str, first: Connection) -> None:
        """A statement of one release on a row that the other one holds; both commit, one after the other."""
        self._behind(lambda: second.execute(statement.encode()), second, first)
        second.commit()

    def _behind(self, work: Callable[[], object], session: Connection, holder: Connection) -> None:
        failed: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            self._wait_until_blocked(session.info.backend_pid, holder.info.backend_pid, thread)
        finally:
            holder.commit()
            thread.join()
        if failed:
            raise failed[0]

    def _wait_until_blocked(self, waiting: int, holding: int, thread: threading.Thread) -> None:
        end = time.monotonic() + PATIENCE
        while self.rows(f"SELECT {holding} = ANY (pg_blocking_pids({waiting}))") != [(True,)]:
            assert thread.is_alive(), "it did not wait for the writer"
            assert time.monotonic() < end, "it neither ends nor waits for the writer"


@pytest.fixture(params=["local", "embedded"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return found


@contextmanager
def _shop(cluster: Cluster, folder: Path) -> Iterator[Shop]:
    name = cluster.create_database("shop")
    shop = Shop(cluster, name, folder)
    try:
        yield shop
    finally:
        shop.close()
        cluster.drop_database(name)


DIFFERENT = "SELECT id, price, price_new FROM products WHERE price_new IS DISTINCT FROM price ORDER BY id"


def test_both_prices_stay_equal_while_both_releases_write_the_same_row(cluster: Cluster) -> None:
    with _shop(cluster, PRICE) as shop:
        shop.up(1)
        shop.control.execute("INSERT INTO products (name, price) SELECT 'p' || i, i FROM generate_series(1, 5) i")
        shop.up(2)
        # Not filled yet: the new release writes row 1, the old one waits for it and has the last word.
        shop.new.execute("UPDATE products SET price = 10, price_new = 10 WHERE id = 1")
        shop.write_behind(shop.old, "UPDATE products SET price = 11 WHERE id = 1", shop.new)
        shop.old.execute("UPDATE products SET price = 20 WHERE id = 2")
        shop.write_behind(shop.new, "UPDATE products SET price = 21, price_new = 21 WHERE id = 2", shop.old)
        assert [row[0] for row in shop.rows(DIFFERENT)] == [3, 4, 5]
        # The backfill meets a row that is being written, and another that is being added.
        shop.old.execute("INSERT INTO products (name, price) VALUES ('added', 6)")
        shop.old.execute("UPDATE products SET price = 33 WHERE id = 3")
        shop.up_behind(3, shop.old)
        assert shop.rows(DIFFERENT) == []
        assert shop.rows("SELECT price_new FROM products ORDER BY id") == [(Decimal(n),) for n in (11, 21, 33, 4, 5, 6)]
        # So do the constraint, the swap and the contraction.
        shop.old.execute("UPDATE products SET price = 44 WHERE id = 4")
        shop.up_behind(4, shop.old)
        shop.up(5)
        assert shop.rows(DIFFERENT) == []
        shop.old.execute("UPDATE products SET price = 55 WHERE id = 5")
        shop.up_behind(6, shop.old)
        assert shop.rows("SELECT id FROM products WHERE price_old IS DISTINCT FROM price") == []
        shop.new.execute("UPDATE products SET price = 12 WHERE id = 1")
        shop.write_behind(shop.old, "UPDATE products SET price = price + 1 WHERE id = 1", shop.new)
        assert shop.rows("SELECT price, price_old FROM products WHERE id = 1") == [(13, 13)]
        shop.old.execute("UPDATE products SET price = 66 WHERE id = 6")
        shop.up_behind(7, shop.old)
        assert [price for (price,) in shop.rows("SELECT price FROM products ORDER BY id")] == [13, 21, 33, 44, 55, 66]


def test_a_backfill_that_writes_what_it_read_before_loses_a_write(cluster: Cluster) -> None:
    """The counterpart, so that the test above is known to be able to fail: the same writer, and a price of yesterday."""
    stale = (
        "UPDATE products p SET price_new = c.price FROM (SELECT id, price FROM products OFFSET 0) c WHERE c.id = p.id"
    )
    with _shop(cluster, PRICE) as shop:
        shop.up(1)
        shop.control.execute("INSERT INTO products (name, price) SELECT 'p' || i, i FROM generate_series(1, 5) i")
        shop.up(2)
        shop.old.execute("UPDATE products SET price = 33 WHERE id = 3")
        shop.write_behind(shop.new, stale, shop.old)
        assert shop.rows(DIFFERENT) == [(3, Decimal(33), Decimal(3))]


APART = "SELECT id, handle FROM accounts WHERE handle IS DISTINCT FROM lower(username) ORDER BY id"


def test_a_dual_write_that_failed_on_one_side_is_found_and_reconciled_while_both_write(cluster: Cluster) -> None:
    with _shop(cluster, RECONCILED) as shop:
        [asked] = [d.reason for m in shop.migrations for d in m.up.directives if d.word == "verify"]
        shop.up(1)
        shop.control.execute("INSERT INTO accounts (username) SELECT 'User' || i FROM generate_series(1, 6) i")
        shop.up(2, 3, 4)
        assert shop.rows(asked) == []
        # Only new rows are written twice: the old release's change of a name reaches one side, beside the new one's row.
        shop.new.execute("INSERT INTO accounts (username) VALUES ('Added')")
        shop.old.execute("UPDATE accounts SET username = 'Anna' WHERE id = 1")
        shop.write_behind(shop.new, "UPDATE accounts SET username = 'Berta' WHERE id = 1", shop.old)
        shop.old.execute("UPDATE accounts SET username = 'Cleo' WHERE id = 2")
        shop.old.commit()
        assert shop.rows(APART) == [(1, "user1"), (2, "user2")]
        assert [row[0] for row in shop.rows(asked)] == [1, 2]
        assert shop.rows("SELECT handle FROM accounts WHERE username = 'Added'") == [("added",)]
        shop.up(5)
        # Reconciled while one of the two rows is changed once more.
        shop.old.execute("UPDATE accounts SET username = 'Doro' WHERE id = 2")
        shop.up_behind(6, shop.old)
        assert shop.rows(asked) == []
        assert shop.rows("SELECT handle FROM accounts WHERE id < 3 ORDER BY id") == [("berta",), ("doro",)]


def test_counts_that_agree_while_data_differ_are_told_by_the_checksum(cluster: Cluster) -> None:
    """A copy that is right by itself, and is not when somebody writes meanwhile: only the checksum sees it."""
    with _shop(cluster, EQUAL_COUNTS) as shop:
        counts, checksum = [d.reason for m in shop.migrations for d in m.up.directives if d.word == "verify"]
        shop.up(1)
        shop.control.execute("INSERT INTO accounts (username) SELECT 'User' || i FROM generate_series(1, 6) i")
        copy = [s.text.replace("left(lower(username), 6)", "lower(username)") for s in shop.migrations[1].up.statements]
        shop.old.execute("UPDATE accounts SET username = 'Anna' WHERE id = 3")
        for text in copy:
            shop.runner.execute(text.encode())
        assert (shop.rows(counts), shop.rows(checksum)) == ([], [])
        shop.old.commit()
        assert (shop.rows(counts), shop.rows(checksum)) == ([], [("values differ",)])
