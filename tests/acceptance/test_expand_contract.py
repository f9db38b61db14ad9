"""Expand, dual write, backfill, verify, contract: the tool's verdicts, and the old and the new release writing throughout."""

from __future__ import annotations

import threading
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
from tests.acceptance.histories import FIXTURES, Outcome, expected, run
from tests.fix_cluster import own_pair

PRICE = FIXTURES / "ecommerce" / "price_type_change"
SECOND = FIXTURES / "expand_contract"
GREEN = {"price": PRICE / "good", "reconciled": SECOND / "reconciled"}
RED = {
    "out_of_order": PRICE / "out_of_order",
    **{
        name: SECOND / "isolated" / name
        for name in ("dual_write_of_inserts_only", "backfill_stops_early", "old_value_left", "equal_counts")
    },
}

WRITES = 5
"""Writes of each release before a migration may run."""

OLD_INSERT = "INSERT INTO products (name, price) VALUES ('old', %s) RETURNING id"
OLD_UPDATE = "UPDATE products SET price = %s WHERE id = %s"
NEW_INSERT = "INSERT INTO products (name, price, price_new) VALUES ('new', %s, %s) RETURNING id"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All histories in one run."""
    return run(tmp_path_factory.mktemp("expand"), {**GREEN, **RED}, f"--pgmigrate-engine={own_pair().name}")


@pytest.mark.parametrize("name", GREEN)
def test_in_order_is_green(outcome: Outcome, name: str) -> None:
    assert outcome.findings(name) == set()
    verdicts = [v for parts in outcome.parts(name).values() for v in parts.values()]
    assert verdicts
    assert "failed" not in verdicts


@pytest.mark.parametrize("name", RED)
def test_a_known_mistake_is_red(outcome: Outcome, name: str) -> None:
    assert outcome.findings(name) == expected(RED[name])
    assert not outcome.traceback


def test_the_step_and_the_rows_are_named(outcome: Outcome) -> None:
    [found] = [
        f for f in outcome.document["findings"] if f["code"] == "PMG720" and f["file"].startswith("out_of_order/")
    ]
    assert found["observed"]["step"] == "after the up, once the old release has written"
    assert all(line.endswith("price_new NULL") for line in found["details"])


class Release:
    """One release of the application, writing until told to stop; remembers each price that the server confirmed."""

    def __init__(self, connection: psycopg.Connection[Any], *, new: bool) -> None:
        self.connection = connection
        self.new = new
        self.confirmed: dict[int, Decimal] = {}
        self.problem: BaseException | None = None
        self.writes = threading.Semaphore(0)
        self.stop = threading.Event()

    def __call__(self) -> None:
        try:
            for number in range(1, 1_000_000):
                if self.stop.is_set():
                    return
                self._write(Decimal(number) / 4)
                self.writes.release()
        except BaseException as error:
            self.problem = error

    def _write(self, price: Decimal) -> None:
        row = self._insert(price)
        self.confirmed[row] = price
        # The release changes a price that it wrote before, too.
        other = next(iter(self.confirmed))
        self.connection.execute(OLD_UPDATE, (price + 1, other))
        self.confirmed[other] = price + 1

    def _insert(self, price: Decimal) -> int:
        if self.new:
            try:
                return int(self.connection.execute(NEW_INSERT, (price, price)).fetchall()[0][0])
            except psycopg.errors.UndefinedColumn:
                pass  # before the expansion, and after the swap, there is one price
        return int(self.connection.execute(OLD_INSERT, (price,)).fetchall()[0][0])

    def wrote(self) -> None:
        """Wait until it has written WRITES times from now on."""
        while self.writes.acquire(blocking=False):
            pass
        for _ in range(WRITES):
            while not self.writes.acquire(timeout=1):
                assert self.problem is None, self.problem


@contextmanager
def _writing(releases: list[Release]) -> Iterator[None]:
    threads = [threading.Thread(target=release) for release in releases]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for release in releases:
            release.stop.set()
        for thread in threads:
            thread.join()


def _send(connection: psycopg.Connection[Any], script: Script) -> None:
    for chunk in script.chunks:
        parts = [s.text for s in chunk.statements] if chunk.rule is TransactionRule.NONE else [chunk.text]
        for text in parts:
            connection.execute(text.encode())


@contextmanager
def _shop(
    cluster: Cluster, folder: Path
) -> Iterator[tuple[psycopg.Connection[Any], list[Release], Callable[[], None]]]:
    """A database at version 1, and the two releases that write in it; the function runs all later migrations while they write."""
    name = cluster.create_database("shop")
    connections = [cluster.connect(name) for _ in range(3)]
    releases = [Release(connections[1], new=False), Release(connections[2], new=True)]
    first, *later = load_history(folder, folder.parent).migrations

    def migrate() -> None:
        with _writing(releases):
            for migration in later:
                for release in releases:
                    release.wrote()
                _send(connections[0], migration.up)
            for release in releases:
                release.wrote()

    try:
        _send(connections[0], first.up)
        yield connections[0], releases, migrate
    finally:
        for connection in connections:
            connection.close()
        cluster.drop_database(name)


def test_nothing_is_lost_while_both_releases_write(embedded_cluster: Cluster) -> None:
    with _shop(embedded_cluster, PRICE / "good") as (connection, releases, migrate):
        migrate()
        assert [release.problem for release in releases] == [None, None]
        confirmed = {key: price for release in releases for key, price in release.confirmed.items()}
        stored = dict(connection.execute("SELECT id, price FROM products").fetchall())
        kind = connection.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = 'products'::regclass AND attname = 'price'"
        ).fetchall()
    assert kind == [("numeric(12,2)",)]
    assert len(confirmed) > 2 * 7 * WRITES
    assert {key: stored.get(key) for key in confirmed} == confirmed


def test_out_of_order_leaves_rows_without_a_price(embedded_cluster: Cluster) -> None:
    with _shop(embedded_cluster, PRICE / "out_of_order") as (connection, _, migrate):
        with pytest.raises(psycopg.errors.CheckViolation, match="products_price_new_present"):
            migrate()
        [(left,)] = connection.execute("SELECT count(*) FROM products WHERE price_new IS NULL").fetchall()
    assert left >= WRITES
