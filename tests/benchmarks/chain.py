"""Cost of lane A over a chain of small migrations, as a ratio of the least that can be done.

The least: one libpq connection that sends the same files up, down and up on the same server. Ours: every migration
up, down, up and up once more, five states and the replica check; seeding, lane B and drills off, and once with them on.
Both run side by side, in turn, on one cluster; start-up is taken off both sides: what a chain of one migration takes.

    python -m tests.benchmarks.chain [--migrations 100] [--rounds 3] [--long | --lane]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.session import Extras, Run

TABLES = 50
COLUMNS = (
    "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "name text NOT NULL",
    "price numeric(10,2) NOT NULL DEFAULT 0",
    "created_at timestamptz NOT NULL DEFAULT now()",
)


def write_chain(folder: Path, count: int) -> None:
    """Half CREATE TABLE, half ADD COLUMN up to 100; after that ALTERs and indexes that keep touching the same 50 tables."""
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        table = f"t{(number - 1) % TABLES:02d}"
        if number <= TABLES:
            up, down = f"CREATE TABLE {table} (\n    {', '.join(COLUMNS)}\n);", f"DROP TABLE {table};"
        elif number <= 2 * TABLES:
            up = f"ALTER TABLE {table} ADD COLUMN note text;"
            down = f"ALTER TABLE {table} DROP COLUMN note;"
        else:
            up, down = _alteration(table, number)
        (folder / f"{number:06d}_step.up.sql").write_text(up + "\n")
        (folder / f"{number:06d}_step.down.sql").write_text(down + "\n")


def _alteration(table: str, number: int) -> tuple[str, str]:
    turn = (number - 1) // TABLES
    return (
        (f"ALTER TABLE {table} ADD COLUMN c{turn} integer;", f"ALTER TABLE {table} DROP COLUMN c{turn};"),
        (f"CREATE INDEX {table}_i{turn} ON {table} (name, id);", f"DROP INDEX {table}_i{turn};"),
        (
            f"ALTER TABLE {table} ADD CONSTRAINT {table}_c{turn} CHECK (price >= -{turn});",
            f"ALTER TABLE {table} DROP CONSTRAINT {table}_c{turn};",
        ),
        (
            f"COMMENT ON TABLE {table} IS 'turn {turn}';",
            f"COMMENT ON TABLE {table} IS {_previous_comment(turn)};",
        ),
    )[turn % 4]


def _previous_comment(turn: int) -> str:
    # The comment of four turns before, or none: a down must bring back exactly that.
    return f"'turn {turn - 4}'" if turn - 4 > 1 else "NULL"


def least(run: Run, folder: Path) -> float:
    """Seconds of one connection that sends up, down, up of every file."""
    assert run.cluster is not None
    name = run.cluster.create_database("least")
    files = sorted(folder.glob("*.up.sql"))
    texts = [(f.read_bytes(), Path(str(f).replace(".up.", ".down.")).read_bytes()) for f in files]
    connection = run.cluster.connect(name)
    clock = time.perf_counter()
    for up, down in texts:
        for text in (up, down, up):
            result = connection.pgconn.exec_(text)
            assert not result.error_message, result.error_message
    seconds = time.perf_counter() - clock
    connection.close()
    run.cluster.drop_database(name)
    return seconds


def ours(run: Run, folder: Path) -> list[float]:
    """Seconds per migration of the whole examination and judgement, the servers being up; the first opens the database."""
    run.histories.clear()
    run.discover([folder])
    [history_run] = run.histories
    migrations = history_run.history.migrations
    for migration in migrations:
        run.select(history_run, migration)
    seconds = []
    for migration in migrations:
        clock = time.perf_counter()
        for part in run.parts:
            verdict = run.result(history_run, migration, part, lambda text: None)
            assert verdict.outcome == "passed", (migration.key, part, verdict)
        seconds.append(time.perf_counter() - clock)
    return seconds


def whole_process(folder: Path, *flags: str) -> float:
    """Seconds of a whole ``pytest --pgmigrate`` process."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:faker", "-p", "no:cacheprovider", "--pgmigrate"]
    clock = time.perf_counter()
    done = subprocess.run(
        [
            *command,
            "-m",
            "pgmigrate",
            "-c",
            "/dev/null",
            f"--rootdir={folder.parent}",
            f"--pgmigrate-path={folder}",
            "--pgmigrate-engine=embedded",
            *flags,
        ],
        capture_output=True,
        text=True,
        cwd=folder.parent,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return time.perf_counter() - clock


def report(label: str, mine: list[float], floor: list[float]) -> None:
    """One line: medians and their ratio, and the ratio of the least of each, which other processes disturb least."""
    m, f = statistics.median(mine), statistics.median(floor)
    print(
        f"{label:<52} {m:8.3f} s  least {f:6.3f} s  ratio {m / f:5.2f}, of the best rounds {min(mine) / min(floor):5.2f}",
        flush=True,
    )


def main() -> None:
    """Run the benchmark and print ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--migrations", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true", help="also the 1,000-migration chain")
    parser.add_argument("--lane", action="store_true", help="lane A alone")
    parser.add_argument("--engine", default="embedded")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "short" / "migrations"
        write_chain(folder, arguments.migrations)
        one = Path(temporary) / "one" / "migrations"
        write_chain(one, 1)
        # Without the lock checks nobody looks at single statements: what that costs is a line of its own.
        quiet = Settings(engine=arguments.engine, rows=0, later_rows=0, ignore=("PMG3",))
        bare = Run(quiet, folder.parent, Extras())
        bare.start(lambda text: None)
        watched = Run(Settings(engine=arguments.engine, rows=0, later_rows=0), folder.parent, Extras())
        watched._cluster = bare._cluster
        full = Run(Settings(engine=arguments.engine), folder.parent, Extras())
        full._cluster = bare._cluster
        floors, lanes, looks, fulls = [], [], [], []
        for _ in range(arguments.rounds):
            floors.append(least(bare, folder) - least(bare, one))
            lanes.append(sum(ours(bare, folder)) - sum(ours(bare, one)))
            looks.append(sum(ours(watched, folder)) - sum(ours(watched, one)))
            if not arguments.lane:
                fulls.append(sum(ours(full, folder)) - sum(ours(full, one)))
        report(f"{arguments.migrations} migrations, lane A, states, replica", lanes, floors)
        against = statistics.median(looks) / statistics.median(lanes)
        report(f"… and every statement watched ({against:.2f} times that)", looks, floors)
        if arguments.lane:
            bare.close()
            return
        report(f"{arguments.migrations} migrations, with rows and lane B", fulls, floors)
        if arguments.long:
            long = Path(temporary) / "long" / "migrations"
            write_chain(long, 1000)
            seconds = ours(bare, long)
            first, last = statistics.mean(seconds[:100]), statistics.mean(seconds[-100:])
            print(
                f"1000 migrations: first tenth {first * 1000:.1f} ms, last tenth {last * 1000:.1f} ms each, "
                f"ratio {last / first:.2f}",
                flush=True,
            )
        bare.close()
        flags = ("--pgmigrate-rows=0",)
        start = statistics.median(whole_process(one, *flags) for _ in range(arguments.rounds))
        whole = statistics.median(whole_process(folder, *flags) for _ in range(arguments.rounds))
        report("whole pytest process, start-up taken off", [whole - start], floors)


if __name__ == "__main__":
    main()
