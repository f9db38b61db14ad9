"""What holding commits and trying the application's statements cost, beside the same scripts without it.

python -m tests.benchmarks.locks [--rounds 5] [--engine embedded]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pytest_pgmigrate.discovery.script import parse_script
from pytest_pgmigrate.execution.database import Database, Watch
from pytest_pgmigrate.model.cluster import Cluster, Want
from pytest_pgmigrate.model.migration import Direction, Migration
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import load_engines

SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, total numeric(10,2));
INSERT INTO users SELECT i, 'u' || i FROM generate_series(1, 20) i;
INSERT INTO orders SELECT i, i, i FROM generate_series(1, 20) i;
"""
SCRIPTS = (
    ("CREATE INDEX CONCURRENTLY", "CREATE INDEX CONCURRENTLY users_email ON users (email);"),
    ("DROP INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY users_email;"),
    ("ALTER TABLE … TYPE", "ALTER TABLE orders ALTER total TYPE numeric(12,4);"),
    ("ADD COLUMN, UPDATE", "ALTER TABLE orders ADD COLUMN note text; UPDATE orders SET note = '';"),
    ("DROP COLUMN", "ALTER TABLE orders DROP COLUMN note;"),
)
WAYS = {
    "sent": Watch(locks=False),
    "watched": Watch(blocking=False),
    "watched and tried": Watch(),
}


@contextmanager
def started(name: str) -> Iterator[Cluster]:
    """A cluster of one engine."""
    cluster: Cluster = load_engines()[name].start(Want(), lambda text: None)
    try:
        yield cluster
    finally:
        cluster.close()


def measure(cluster: Cluster, watch: Watch) -> dict[str, float]:
    """Seconds of each script, on a database of its own."""
    name = cluster.create_database("bench")
    with cluster.connect(name) as connection:
        connection.execute(SCHEMA)
    database = Database(cluster, name, Settings(), fresh=True, watch=watch)
    seconds = {}
    try:
        for label, text in SCRIPTS:
            script = parse_script(text + "\n", "1_step.up.sql", "/1_step.up.sql", "0")
            clock = time.perf_counter()
            step = database.run("up", Migration("1", "step", script, None, 0), Direction.UP, watched=True)
            seconds[label] = time.perf_counter() - clock
            assert step.error is None, step.error
    finally:
        database.release()
        cluster.drop_database(name)
    return seconds


def main() -> None:
    """Run the benchmark and print milliseconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", default="embedded")
    arguments = parser.parse_args()
    with started(arguments.engine) as cluster:
        measure(cluster, Watch())
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            for way, watch in WAYS.items():
                found[way].append(measure(cluster, watch))
    print(f"{'milliseconds, median of ' + str(arguments.rounds):<28}" + "".join(f"{way:>20}" for way in WAYS))
    for label, _ in SCRIPTS:
        medians = [statistics.median(one[label] for one in found[way]) * 1000 for way in WAYS]
        print(f"{label:<28}" + "".join(f"{value:>20.1f}" for value in medians))


if __name__ == "__main__":
    main()
