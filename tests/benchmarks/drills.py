"""What the default drills cost: the seeded examination with them beside the same one with ``--pgmigrate-no-drills``.

Both on one pair of servers, history after history in turn, so that a busy machine is busy for both. Wall seconds, and
seconds on a processor of this process and of all processes of both servers (Linux; in hundredths, so that they are told of
whole histories only). The target: 0.5 s per small migration, or twice the examination without drills.

    python -m tests.benchmarks.drills [--rounds 3] [--engine embedded] [--migrations 20] [--only chain] [--each]
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_pgmigrate.execution import drills
from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.session import Extras, Run
from tests.benchmarks.chain import write_chain

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
TICK = 1 / os.sysconf("SC_CLK_TCK")
SECONDS, TIMES = 0.5, 2.0
"""The target: so many seconds per migration, or so many times the examination without drills."""


class Processor:
    """Seconds that this process and both servers, with all processes they ever had, were on a processor."""

    def __init__(self, cluster: Cluster) -> None:
        self._servers = []
        for replica in (False, True):
            with cluster.connect(cluster.maintenance_database, replica=replica) as connection:
                self._servers.append(int(_stat(connection.info.backend_pid)[1]))

    def __call__(self) -> float:
        ticks = 0
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = _stat(int(entry))
                if int(entry) in self._servers:
                    ticks += sum(map(int, fields[11:15]))  # with the children that have ended
                elif fields and int(fields[1]) in self._servers:
                    ticks += sum(map(int, fields[11:13]))
        return ticks * TICK + time.process_time()


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on; none when the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


@dataclass
class Spent:
    """Wall seconds of single drills, by name and then by migration."""

    seconds: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def watch(self) -> None:
        """Time every drill from now on."""
        for info in pkgutil.iter_modules(drills.__path__):
            if not info.name.startswith("_"):
                module: Any = importlib.import_module(f"{drills.__name__}.{info.name}")
                module.run = self._timed(info.name, module.run)

    def _timed(self, name: str, run: Callable[[Any], object]) -> Callable[[Any], object]:
        def timed(context: Any) -> object:
            clock = time.perf_counter()
            try:
                return run(context)
            finally:
                self.seconds[name][context.migration.key].append(time.perf_counter() - clock)

        return timed


def examined(cluster: Cluster, folder: Path, settings: Settings) -> dict[str, float]:
    """Wall seconds by migration of examining and judging a whole history."""
    run = Run(settings, folder.parent, Extras())
    run._cluster = cluster
    run.discover([folder])
    [history] = run.histories
    for migration in history.history.migrations:
        run.select(history, migration)
    seconds = {}
    for migration in history.history.migrations:
        clock = time.perf_counter()
        for part in run.parts:
            run.result(history, migration, part, lambda text: None)
        seconds[migration.key] = time.perf_counter() - clock
    return seconds


def compare(name: str, cluster: Cluster, folder: Path, rounds: int, *, each: bool) -> None:
    """Examine one history with and without drills, in turn, and print what they cost."""
    processor, spent = Processor(cluster), Spent()
    spent.watch()
    found: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    cpu: dict[bool, list[float]] = {True: [], False: []}
    examined(cluster, folder, Settings(no_drills=True))  # what only the first one of a kind costs
    for number in range(rounds):
        for without in (True, False) if number % 2 else (False, True):
            before = processor()
            found[without].append(examined(cluster, folder, Settings(no_drills=without)))
            cpu[without].append(processor() - before)
    keys = list(found[True][0])
    bare = {key: min(one[key] for one in found[True]) for key in keys}
    full = {key: min(one[key] for one in found[False]) for key in keys}
    more = {key: full[key] - bare[key] for key in keys}
    wall = statistics.median(sum(f.values()) / sum(b.values()) for f, b in zip(found[False], found[True], strict=True))
    used = statistics.median(f / b for f, b in zip(cpu[False], cpu[True], strict=True))
    print(f"\n{name}: {len(keys)} migrations, {rounds} rounds in turn, the least of each")
    print(f"  without drills {sum(bare.values()) / len(keys):.3f} s each, with {sum(full.values()) / len(keys):.3f} s")
    print(
        f"  ratio: {wall:.2f} x wall (median), {used:.2f} x processor ({statistics.median(cpu[False]) / len(keys):.3f} s each)"
    )
    print(f"  drills: median {statistics.median(more.values()):.3f} s, most {max(more.values()):.3f} s a migration")
    beyond = [key for key in keys if more[key] > SECONDS and full[key] > TIMES * bare[key]]
    print(f"  beyond {SECONDS} s and {TIMES:.0f} x: {len(beyond)} of {len(keys)}")
    for drill, by_key in spent.seconds.items():
        least = {key: min(seconds) for key, seconds in by_key.items()}
        print(f"    {drill:<15} {sum(least.values()) / len(keys):.3f} s on average, most {max(least.values()):.3f} s")
    for key in keys if each else beyond:
        parts = ", ".join(f"{d} {min(s[key]):.3f}" for d, s in spent.seconds.items() if s[key] and min(s[key]) > 0.002)
        print(f"    {key:<40} {bare[key]:.3f} → {full[key]:.3f} s ({full[key] / bare[key]:.2f} x): {parts}")


def main() -> None:
    """Run the benchmark and print ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="embedded")
    parser.add_argument("--migrations", type=int, default=20, help="length of the chain")
    parser.add_argument("--only", default="", help="histories whose name holds this")
    parser.add_argument("--each", action="store_true", help="a line for every migration")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        chain = Path(temporary) / "chain" / "migrations"
        write_chain(chain, arguments.migrations)
        histories = {name: FIXTURES / name / "repaired" for name in ("expand_contract", "ecommerce")}
        server = Run(Settings(engine=arguments.engine, no_cache=True), Path(temporary), Extras())
        cluster = server.start(lambda text: None)
        try:
            for name, folder in {"chain": chain, **histories}.items():
                if arguments.only in name:
                    compare(name, cluster, folder, arguments.rounds, each=arguments.each)
        finally:
            server.close()


if __name__ == "__main__":
    main()
