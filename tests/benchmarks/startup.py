"""What starting costs, measured side by side in one run.

- A ready pair, replica verified streaming, warm, against the least: two bare ``postgres`` processes on copied data
  directories (embedded, local), or ``docker run`` until the first SQL statement is answered (docker).
- A plain ``pytest`` with the plugin installed and not used, against one without it; Faker's own plugin apart.

    python -m tests.benchmarks.startup [--rounds 7] [--image pgmigrate-test/postgres:18]
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from pytest_pgmigrate.engines import settings
from pytest_pgmigrate.engines.accounts import server_account
from pytest_pgmigrate.engines.docker import ENGINE as DOCKER
from pytest_pgmigrate.engines.embedded import ENGINE as EMBEDDED
from pytest_pgmigrate.engines.local import ENGINE as LOCAL
from pytest_pgmigrate.model.cluster import Engine, Want


def ready_pair(engine: Engine, want: Want) -> float:
    """Seconds until a pair is ready and verified."""
    clock = time.perf_counter()
    cluster = engine.start(want, lambda text: None)
    seconds = time.perf_counter() - clock
    cluster.close()
    return seconds


class Bare:
    """Two bare servers on copies of one data directory that initdb made."""

    def __init__(self, bindir: Path, folder: Path) -> None:
        self.bindir, self.folder = bindir, folder
        self.account = server_account()
        self.account.own(folder)
        self.process: dict[str, Any] = dict(self.account.process)
        self.template = folder / "template"
        command: list[str | Path] = [
            bindir / "initdb",
            "-D",
            self.template,
            "-U",
            "postgres",
            "-N",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
        ]
        subprocess.run(command, check=True, capture_output=True, **self.process)
        major = int(subprocess.check_output([bindir / "postgres", "--version"], text=True).split()[2].split(".")[0])
        with open(self.template / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write(settings.as_file(settings.base_settings(major)))

    def round(self) -> tuple[float, float]:
        """Seconds with copying, and without."""
        targets = [self.folder / "first", self.folder / "second"]
        clock = time.perf_counter()
        copies = [subprocess.Popen(["cp", "-a", self.template, target], **self.process) for target in targets]
        assert not any(copy.wait() for copy in copies)
        copied = time.perf_counter()
        servers = [self._start(target) for target in targets]
        for target in targets:
            self._ready(target)
        done = time.perf_counter()
        for server in servers:
            server.terminate()
            server.wait()
        for target in targets:
            shutil.rmtree(target)
        return done - clock, done - copied

    def _start(self, target: Path) -> subprocess.Popen[Any]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command: list[str | Path] = [
            self.bindir / "postgres",
            "-D",
            target,
            "-p",
            str(port),
            "-k",
            self.folder,
            "-h",
            "127.0.0.1",
        ]
        with open(f"{target}.log", "ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, **self.process)

    @staticmethod
    def _ready(target: Path) -> None:
        while True:
            with contextlib.suppress(OSError, IndexError):
                if (target / "postmaster.pid").read_text().split("\n")[7].strip() == "ready":
                    return
            time.sleep(0.002)


def docker_run(image: str) -> float:
    """Seconds from ``docker run`` of one container to its first answer."""
    name, password = f"pgmigrate-bench-{secrets.token_hex(4)}", secrets.token_hex(8)
    clock = time.perf_counter()
    subprocess.run(
        [
            "docker",
            "run",
            "-d",
            "--rm",
            "--name",
            name,
            "-e",
            f"POSTGRES_PASSWORD={password}",
            "-p",
            "127.0.0.1::5432",
            image,
        ],
        check=True,
        capture_output=True,
    )
    try:
        port = subprocess.check_output(["docker", "port", name, "5432"], text=True).split(":")[-1].strip()
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                dsn = f"host=127.0.0.1 port={port} user=postgres password={password} connect_timeout=2"
                psycopg.connect(dsn).close()
                return time.perf_counter() - clock
            time.sleep(0.02)
    finally:
        subprocess.run(["docker", "rm", "-fv", name], check=False, capture_output=True)


def plain_pytest(folder: Path, *flags: str) -> float:
    """Milliseconds of a plain pytest run over one empty test."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags, "test_nothing.py"]
    clock = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return (time.perf_counter() - clock) * 1000


def pair(label: str, mine: list[float], least: list[float]) -> None:
    """One line with medians and the ratio."""
    m, f = statistics.median(mine), statistics.median(least)
    print(f"{label:<62} {m:6.3f} s  least {f:6.3f} s  ratio {m / f:5.2f}", flush=True)


def servers(engine: Engine, rounds: int) -> None:
    """Embedded or local pair against two bare processes."""
    from pytest_pgmigrate.engines.accounts import server_account
    from pytest_pgmigrate.engines.template import reachable

    answer = engine.probe(Want())
    if not answer.usable:
        print(f"{engine.name}: {answer.reason}")
        return
    binaries = reachable(engine._find(Want()), server_account())  # type: ignore[attr-defined]
    base = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(dir=base) as temporary:
        Path(temporary).chmod(0o755)
        bare = Bare(binaries.bindir, Path(temporary))
        ready_pair(engine, Want())
        mine, copied, started = [], [], []
        for _ in range(rounds):
            mine.append(ready_pair(engine, Want()))
            whole, start = bare.round()
            copied.append(whole)
            started.append(start)
    pair(f"{engine.name}, {answer.reason}: two bare servers, copying counted", mine, copied)
    pair(f"{engine.name}, {answer.reason}: two bare servers, copies ready", mine, started)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--image", default="pgmigrate-test/postgres:18")
    arguments = parser.parse_args()
    for engine in (EMBEDDED, LOCAL):
        servers(engine, arguments.rounds)
    want = Want(image=arguments.image)
    if DOCKER.probe(want).usable:
        mine, least = [], []
        for _ in range(max(arguments.rounds // 2, 2)):
            mine.append(ready_pair(DOCKER, want))
            least.append(docker_run(arguments.image))
        pair(f"docker, {arguments.image}: docker run to first SQL", mine, least)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        kinds = {
            "without": ("-p", "no:faker", "-p", "no:pgmigrate"),
            "with": ("-p", "no:faker"),
            "faker": ("-p", "no:pgmigrate"),
        }
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(arguments.rounds * 3):
            for kind, flags in kinds.items():
                times[kind].append(plain_pytest(folder, *flags))
        base = statistics.median(times["without"])
        print(
            f"plain pytest {base:.0f} ms; with this plugin {statistics.median(times['with']) - base:+.1f} ms; "
            f"with Faker's own plugin {statistics.median(times['faker']) - base:+.1f} ms"
        )


if __name__ == "__main__":
    main()
