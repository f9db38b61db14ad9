"""What one ``StateReader.read()`` costs: ``python tests/benchmarks/states_bench.py [embedded|local]``.

50 tables with 20 columns and 20 rows each. Milliseconds, medians; wall time and, because other work on the machine
stretches that, processor time of client and server; beside a ``SELECT 1`` over the same kind of connection.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from pytest_pgmigrate.engines.embedded import ENGINE as EMBEDDED
from pytest_pgmigrate.engines.local import ENGINE as LOCAL
from pytest_pgmigrate.execution.states import StateReader, compare
from pytest_pgmigrate.model.cluster import Cluster, Engine, Want

TABLES, COLUMNS, ROUNDS = 50, 20, 40

CASES: tuple[tuple[str, str], ...] = (
    ("nothing changed", ""),
    ("ADD COLUMN", "alter table t{n} add column added int"),
    ("ADD COLUMN, same table", "alter table t3 add column added_{k} int"),
    ("CREATE TABLE", "create table new_{k} (id bigserial primary key, a text not null, b bigint references t1 (id))"),
    ("CREATE INDEX", "create index on t{n} (c3)"),
    ("ADD CHECK", "alter table t{n} add check (id > {k} - 1000)"),
    ("INSERT", "insert into t{n} (c1) values ('y')"),
    ("CREATE FUNCTION", "create function f{k}() returns int language sql as 'select 1'"),
    ("COMMENT", "comment on table t{n} is '{k}'"),
    ("DROP COLUMN", "alter table t{n} drop column c5"),
    ("RENAME COLUMN", "alter table t{n} rename column c4 to d4"),
    ("DROP TABLE", "drop table new_{k}"),
)


def processor(pids: Iterable[int]) -> float:
    """Milliseconds on a processor: this process and these servers (Linux)."""
    total = time.process_time() * 1000
    for pid in pids:
        total += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6
    return total


def measure(pids: list[int], prepare: Callable[[int], object], run: Callable[[], object]) -> tuple[float, float]:
    """Medians of wall and processor time of ``run``, with ``prepare`` before each."""
    walls, works = [], []
    for number in range(ROUNDS):
        prepare(number)
        work, wall = processor(pids), time.perf_counter()
        run()
        walls.append((time.perf_counter() - wall) * 1000)
        works.append(processor(pids) - work)
    return statistics.median(walls), statistics.median(works)


def seed(session: psycopg.Connection[Any]) -> None:
    """The tables with their rows."""
    columns = ", ".join(f"c{number} text" for number in range(COLUMNS - 1))
    for number in range(TABLES):
        session.execute(f"create table t{number} (id bigserial primary key, {columns})".encode())
        session.execute(f"insert into t{number} (c1) select 'x' from generate_series(1, 20)".encode())


def bench(cluster: Cluster, *, use_wal: bool) -> None:
    """Print one table of figures."""
    database = cluster.create_database("bench")
    with cluster.connect(database) as session, closing(StateReader(cluster, database, use_wal=use_wal)) as reader:
        seed(session)
        start = time.perf_counter()
        reader.read()
        first = (time.perf_counter() - start) * 1000
        print(f"\nPostgreSQL {cluster.version[0]}, {'with' if use_wal else 'without'} WAL; first read {first:.0f} ms")
        with cluster.connect(cluster.maintenance_database) as admin:
            rows = admin.execute("select pid from pg_stat_activity where backend_type = 'client backend'").fetchall()
            pids = [row[0] for row in rows if row[0] not in (admin.info.backend_pid, session.info.backend_pid)]
        connection = reader.connection
        wall, work = measure(pids, lambda _: None, lambda: connection.execute("select 1", prepare=True).fetchall())
        print(f"{'SELECT 1':26} {wall:7.2f} wall {work:7.2f} processor")
        for name, statement in CASES:

            def prepare(number: int, statement: str = statement) -> None:
                if statement:
                    session.execute(statement.format(n=number % TABLES, k=number).encode())

            wall, work = measure(pids, prepare, reader.read)
            print(f"{name:26} {wall:7.2f} wall {work:7.2f} processor")
        if cluster.replica is not None and use_wal:
            replica(cluster, session, reader)
        before = reader.read()
        session.execute("alter table t7 add column last int")
        after = reader.read()
        wall, work = measure([], lambda _: None, lambda: compare(before, after))
        print(f"{'compare, one change':26} {wall:7.2f} wall {work:7.2f} processor")
    cluster.drop_database(database)


def replica(cluster: Cluster, session: psycopg.Connection[Any], reader: StateReader) -> None:
    """The check of the replica after one small change."""

    def prepare(number: int) -> None:
        session.execute(f"alter table t{number % TABLES} add column r{number} int".encode())
        reader.read()
        cluster.wait_for_replica()

    reader.read()
    cluster.wait_for_replica()
    reader.compare_replica()
    wall, work = measure([], prepare, reader.compare_replica)
    print(f"{'compare_replica':26} {wall:7.2f} wall {work:7.2f} processor (client)")


def main() -> None:
    """Run on the engines named, by default on both."""
    engines: dict[str, Engine] = {"embedded": EMBEDDED, "local": LOCAL}
    for name in sys.argv[1:] or engines:
        with closing(engines[name].start(Want(), lambda _: None)) as cluster:
            bench(cluster, use_wal=True)
            bench(cluster, use_wal=False)


if __name__ == "__main__":
    main()
