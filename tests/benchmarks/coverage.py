"""How many tables the seeder fills, without configuration, at the head of real migration histories.

Loads every ``*.up.sql``, every ``<dir>/up.sql`` or the ``-- +migrate Up`` part of every ``*.sql``, in order; fills; then
evaluates every CHECK and foreign key again. Files that fail are counted and named.

    python -m tests.benchmarks.coverage [--rows 20] [--engine embedded|local] [--verbose] FOLDER…
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from pytest_pgmigrate.discovery.sql.lexer import lex
from pytest_pgmigrate.engines.embedded import ENGINE as EMBEDDED
from pytest_pgmigrate.engines.local import ENGINE as LOCAL
from pytest_pgmigrate.model.cluster import Cluster, SeedReport, Want
from pytest_pgmigrate.seeding import FakeSeeder
from tests.seeding.recheck import colliding_sequences, violations

TABLES = "SELECT FROM pg_stat_user_tables t JOIN pg_class c ON c.oid = t.relid WHERE NOT c.relispartition"
_SECTION = re.compile(r"^--\s*\+migrate\s+(Up|Down)(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One file to load; ``alone`` when it has to be sent statement by statement."""

    name: str
    text: str
    alone: bool = False


def scripts(folder: Path) -> Iterator[Script]:
    """The ups of a folder, in the order of their names."""
    plain = sorted(folder.glob("*.up.sql"), key=lambda path: (int(re.sub(r"\D.*", "", path.name) or 0), path.name))
    # Diesel compares the part before the first underscore without its hyphens.
    nested = sorted(folder.glob("*/up.sql"), key=lambda path: path.parent.name.partition("_")[0].replace("-", ""))
    annotated = sorted(path for path in folder.glob("*.sql") if not re.search(r"\.(up|down)\.sql$", path.name))
    for path in plain:
        yield Script(path.name, path.read_text(encoding="utf-8"))
    for path in nested:
        metadata = path.with_name("metadata.toml")
        alone = metadata.exists() and "run_in_transaction = false" in metadata.read_text(encoding="utf-8")
        yield Script(path.parent.name, path.read_text(encoding="utf-8"), alone)
    for path in annotated:
        parts = _SECTION.split(path.read_text(encoding="utf-8"))
        for direction, options, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            if direction == "Up":
                yield Script(path.name, text, "notransaction" in options)


def load(connection: psycopg.Connection[Any], folder: Path) -> list[str]:
    """Run the ups; the failures, each with its message."""
    failures = []
    for script in scripts(folder):
        try:
            for text in _sent(script):
                connection.execute(text.encode())
        except psycopg.Error as error:
            connection.execute("ROLLBACK")
            failures.append(f"{script.name}: {str(error).splitlines()[0]}")
    return failures


def _sent(script: Script) -> Sequence[str]:
    if not script.alone:
        return [script.text]
    return [script.text[one.start : one.end] for one in lex(script.text).statements]


def measure(cluster: Cluster, folder: Path, rows: int, extensions: Sequence[str], verbose: bool) -> Counter[str]:
    """Load and fill one history, print what came of it."""
    name = cluster.create_database("coverage")
    connection = cluster.connect(name)
    try:
        for extension in extensions:
            connection.execute(f"CREATE EXTENSION {extension}".encode())
        failures = load(connection, folder)
        have = len(connection.execute(TABLES).fetchall())
        clock = time.perf_counter()
        reports = FakeSeeder(seed=1, rows=rows).fill(connection, exclude_schemas=[])
        seconds = time.perf_counter() - clock
        broken = [*violations(connection), *colliding_sequences(connection)]
        show(folder, failures, reports, seconds, broken, have, verbose)
        return Counter(report.status for report in reports)
    finally:
        connection.close()
        cluster.drop_database(name)


def show(
    folder: Path,
    failures: list[str],
    reports: Sequence[SeedReport],
    seconds: float,
    broken: list[str],
    have: int,
    verbose: bool,
) -> None:
    """The figures of one history."""
    counts = Counter(report.status for report in reports)
    total = len(reports)
    good = total - counts["empty"] - counts["partial"]
    states = ", ".join(f"{status} {number}" for status, number in sorted(counts.items()))
    share = f"{100 * good / total:.1f} %" if total else "-"
    print(f"{folder}: {have} tables, {total} empty ones to fill: {states}; filled {share}; {seconds:.2f} s")
    print(f"  files that failed {len(failures)}; constraints and sequences broken {len(broken)} {broken or ''}")
    for failure in failures if verbose else failures[:3]:
        print(f"  failed {failure}")
    for report in reports:
        if report.status not in ("full", "saturated") or (verbose and report.status == "saturated"):
            print(f"  {report.table}: {report.status}, {report.filled} of {report.asked}: {report.reason}")
            print("".join(f"    {more}\n" for more in (report.cause, report.stub) if more), end="")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--engine", choices=("embedded", "local"), default="local")
    parser.add_argument("--extension", action="append", default=[], help="created first, as an administrator would")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    engine = EMBEDDED if arguments.engine == "embedded" else LOCAL
    cluster = engine.start(Want(), lambda text: None)
    try:
        total: Counter[str] = Counter()
        for folder in arguments.folders:
            total += measure(cluster, folder, arguments.rows, arguments.extension, arguments.verbose)
        good = total.total() - total["empty"] - total["partial"]
        print(f"together: {dict(total)}; filled {good} of {total.total()}")
    finally:
        cluster.close()


if __name__ == "__main__":
    main()
