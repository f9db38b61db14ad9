"""Who made a container: enough to tell, later and from another process, whether that run is still alive."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = "pgmigrate.owner."


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, told apart from a later one with the same number by when it started.

    ``space`` is the boot and the process-id namespace: only within the same one does a process id mean anything.
    """

    machine: str
    space: str
    pid: str
    started: str

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return cls(_machine(), _space(), str(os.getpid()), _started(os.getpid()))

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> Owner:
        """The owner written into a container's labels (missing ones read as empty, which matches nobody)."""
        return cls(*(labels.get(LABEL + name, "") for name in ("machine", "space", "pid", "started")))

    def labels(self) -> dict[str, str]:
        """The owner as labels."""
        return {LABEL + name: value for name, value in asdict(self).items()}

    def alive(self) -> bool | None:
        """Whether the process still runs; None when that cannot be known from here (another machine or namespace)."""
        if self.space == _space():
            return self.pid.isdigit() and _started(int(self.pid)) == self.started != ""
        return None


def _machine() -> str:
    with contextlib.suppress(OSError):
        if identity := Path("/etc/machine-id").read_text().strip():
            return identity
    return socket.gethostname()


def _space() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        command = ["sysctl", "-n", "kern.boottime"]
        return f"{socket.gethostname()}/{_output(command)}"


def _started(pid: int) -> str:
    """When a process started, in the system's own terms; empty when it is gone, a zombie included."""
    if sys.platform != "linux":
        return (
            ""
            if _output(["ps", "-o", "state=", "-p", str(pid)]).startswith("Z")
            else _output(["ps", "-o", "lstart=", "-p", str(pid)])
        )
    try:
        # The program's name, in parentheses, may itself hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
