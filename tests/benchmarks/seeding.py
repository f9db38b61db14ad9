"""Speed of seeding, side by side in one run: ours against Faker called for every value and an INSERT for every row.

One table of 11 columns with three unique indexes in place (primary key, two texts), on a pair with its replica
streaming; the naive way uses one connection and one transaction for all rows. Then the cost from 1k to 100k rows, and
600,000 rows that were made before: cloned on the server, and kept on disk by an earlier run.

    python -m tests.benchmarks.seeding [--rounds 3] [--engine embedded|local] [--million] [--kept-only]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, cast

import psycopg
from faker import Faker

from pytest_pgmigrate.engines.embedded import ENGINE as EMBEDDED
from pytest_pgmigrate.engines.local import ENGINE as LOCAL
from pytest_pgmigrate.model.cluster import Cluster, Engine, Keeps, Want
from pytest_pgmigrate.seeding import FakeSeeder

TABLE = """
DROP TABLE IF EXISTS users;
CREATE TABLE users (
  id bigserial PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, username text NOT NULL UNIQUE, first_name varchar(100),
  last_name varchar(100), phone varchar(32), city text, balance numeric(10,2) NOT NULL CHECK (balance >= 0),
  status text NOT NULL CHECK (status IN ('active', 'blocked')), active bool NOT NULL, created_at timestamptz NOT NULL);
"""
NAIVE_ROWS = 2000
KEPT_ROWS = 600_000
INSERT = (
    "INSERT INTO users (email, username, first_name, last_name, phone, city, balance, status, active, created_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)

Connection = psycopg.Connection[Any]


def naive(connection: Connection, rows: int) -> float:
    """Rows per second of Faker and INSERT, row by row."""
    connection.execute(TABLE.encode())
    faker = Faker("en_US")
    faker.seed_instance(1)
    clock = time.perf_counter()
    with connection.transaction():
        for number in range(rows):
            row = (
                f"{number}{faker.email()}",
                f"{number}{faker.user_name()}",
                faker.first_name(),
                faker.last_name(),
                faker.phone_number(),
                faker.city(),
                faker.pydecimal(left_digits=5, right_digits=2, positive=True),
                faker.random_element(("active", "blocked")),
                faker.boolean(),
                faker.date_time_this_decade(),
            )
            connection.execute(INSERT, row)
    return rows / (time.perf_counter() - clock)


def ours(connection: Connection, rows: int) -> float:
    """Rows per second of the seeder over an empty table of the same shape."""
    connection.execute(TABLE.encode())
    clock = time.perf_counter()
    reports = FakeSeeder(seed=1, rows=rows).fill(connection, exclude_schemas=[])
    seconds = time.perf_counter() - clock
    assert [report.status for report in reports] == ["full"], reports
    return rows / seconds


def run(cluster: Cluster, rounds: int, million: bool) -> None:
    """Measure and print."""
    name = cluster.create_database("speed")
    connection = cluster.connect(name)
    try:
        ours(connection, 1000)  # the pools are made once a process
        slow, fast = [], []
        for _ in range(rounds):
            slow.append(naive(connection, NAIVE_ROWS))
            fast.append(ours(connection, 100_000))
        ratios = sorted(mine / theirs for mine, theirs in zip(fast, slow, strict=True))
        print(
            f"naive {statistics.median(slow):.0f} rows/s, ours {statistics.median(fast):.0f} rows/s of 100,000;"
            f" ratio {statistics.median(ratios):.0f} x (from {ratios[0]:.0f} to {ratios[-1]:.0f})"
        )
        for rows in (1000, 3000, 10_000, 30_000, 100_000, *([1_000_000] if million else [])):
            speed = statistics.median(ours(connection, rows) for _ in range(1 if rows > 100_000 else rounds))
            print(f"{rows:>9} rows: {rows / speed:7.3f} s, {1e6 / speed:6.1f} µs a row")
    finally:
        connection.close()
        cluster.drop_database(name)


def seconds(work: Callable[[], object]) -> float:
    """How long it took."""
    clock = time.perf_counter()
    work()
    return time.perf_counter() - clock


def run_kept(engine: Engine, rounds: int) -> None:
    """Measure and print what a database costs that was filled before, with the replica caught up."""
    want = Want(content="benchmark", cache_bytes=4 << 30)
    engine.start(Want(), silent).close()  # the template of the binaries
    with closing(engine.start(want, silent)) as cluster:
        name = cluster.create_database("kept")
        with cluster.connect(name) as connection:
            making = seconds(lambda: ours(connection, KEPT_ROWS))
            size = connection.execute("SELECT pg_database_size(current_database()) >> 20").fetchone()
        keeping = seconds(lambda: cast(Keeps, cluster).remember(name, {}))
        spent: dict[str, list[float]] = {}
        slow: list[float] = []
        for _ in range(rounds):
            with cluster.connect(cluster.create_database("naive")) as connection:
                slow.append(naive(connection, NAIVE_ROWS))
            cluster.wait_for_replica()
            for what, times in _one_round(engine, want, cluster, name).items():
                spent.setdefault(what, []).append(times)
    assert size is not None
    print(f"{engine.name}: {KEPT_ROWS} rows, {size[0]} MiB: made in {making:.2f} s, kept in {keeping:.2f} s")
    print(f"  naive {statistics.median(slow):,.0f} rows/s (best {max(slow):,.0f})")
    for what, found in spent.items():
        ratios = [KEPT_ROWS / time / base for time, base in zip(found, slow, strict=True)]
        best = KEPT_ROWS / min(found) / max(slow)
        print(
            f"  {what}: {statistics.median(found):.3f} s (best {min(found):.3f}),"
            f" {statistics.median(ratios):,.0f} x naive of the same round, {best:,.0f} x best against best"
        )


def _one_round(engine: Engine, want: Want, cluster: Cluster, name: str) -> dict[str, float]:
    """Seconds of each way to have the rows again."""
    made: list[str] = []
    clone = seconds(lambda: made.append(cluster.create_database("clone", template=name)))
    replayed = seconds(cluster.wait_for_replica)
    cluster.drop_database(made[0])
    cluster.wait_for_replica()
    starts = []
    for asked in (Want(), want):
        clock = time.perf_counter()
        with closing(engine.start(asked, silent)) as again:
            starts.append(time.perf_counter() - clock)
            assert (cast(Keeps, again).filled is None) is (asked is not want)
    return {
        "CREATE DATABASE … TEMPLATE": clone,
        "the same, until the replica has it": clone + replayed,
        "pair started from the disk entry, replica caught up": starts[1],
        "for comparison, an empty pair started": starts[0],
    }


def silent(_: str) -> None:
    """Progress nobody reads."""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=("embedded", "local"), default="embedded")
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--kept-only", action="store_true")
    arguments = parser.parse_args()
    engine: Engine = EMBEDDED if arguments.engine == "embedded" else LOCAL
    if not arguments.kept_only:
        with closing(engine.start(Want(), silent)) as cluster:
            run(cluster, arguments.rounds, arguments.million)
    # A cache of its own: nothing of it stays.
    with tempfile.TemporaryDirectory(prefix="pgmigrate-benchmark-") as directory:
        os.environ["PGMIGRATE_CACHE_DIR"] = directory
        run_kept(engine, arguments.rounds)


if __name__ == "__main__":
    main()
