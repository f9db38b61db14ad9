"""One ``postgres`` process of ours over a data directory in the run directory, with its log."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from pytest_pgmigrate.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_pgmigrate.engines.accounts import Account

PATIENCE = 60.0
"""Seconds to wait for a server to start; a busy machine is no error."""

LOG_BYTES = 64_000


class PortTaken(EngineError):
    """Somebody took a port between our choosing it and the server's binding it."""


class Postmaster:
    """The server called ``role``: its data are in ``run/role``, its socket in ``run``. ``addresses``: where it listens."""

    def __init__(
        self, program: Path, run: Path, role: str, port: int, account: Account, addresses: str = "127.0.0.1"
    ) -> None:
        self.role = role
        self.data = run / role
        self.log_file = run / f"{role}.log"
        self._command: list[str | Path] = [program, "-D", self.data, "-p", str(port), "-k", run]
        self._command += ["-c", f"listen_addresses={addresses}"]
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ended(self) -> bool:
        """Whether it is not running, never started or no longer."""
        return self._process is None or self._process.poll() is not None

    def launch(self) -> None:
        """Start it, without waiting."""
        with open(self.log_file, "ab") as log:
            # A session of its own: Ctrl-C in the terminal must reach pytest, not the servers.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._account.process,
            )

    def wait_until_ready(self) -> None:
        """Wait for ``ready`` on line 8 of postmaster.pid: what ``pg_ctl -w`` waits for, only looked at more often.

        Raises PortTaken, or EngineError with the end of its log.
        """
        pid_file = self.data / "postmaster.pid"
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, IndexError):
                if pid_file.read_bytes().split(b"\n")[7].strip() == b"ready":
                    return
            if self.ended:
                break
            time.sleep(0.002)
        log = self.log()
        if "could not bind" in log or "Is another postmaster already running on port" in log:
            raise PortTaken(f"a port of the {self.role} was taken")
        raise EngineError(f"the {self.role} did not start; its log ends with:\n{log[-2000:].strip()}")

    def log(self) -> str:
        """The last 64 kB of its log."""
        try:
            with open(self.log_file, "rb") as file:
                file.seek(max(os.fstat(file.fileno()).st_size - LOG_BYTES, 0))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def interrupt(self) -> None:
        """Ask for an immediate shutdown, which is what a crash leaves behind; unlike SIGKILL it frees shared memory.

        https://www.postgresql.org/docs/current/server-shutdown.html
        """
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGQUIT)

    def wait_until_ended(self) -> None:
        """Wait for that; a server that does not obey is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
