"""Ends what a run left in its directory. Also the program that the watchdog runs, so: standard library only.

``python reaper.py RUN_DIRECTORY`` waits for the directory's lock (its owner is dead, or it would not be run), stops
every process that works in the directory and removes it with its lock file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path


def lock_file(run: Path) -> Path:
    """The lock of a run directory. It lies beside it: it is made first and removed last."""
    return run.with_name(run.name + ".lock")


def stop_processes(run: Path, timeout: float = 10.0) -> None:
    """Stop the servers (SIGQUIT: immediate shutdown, which also frees shared memory) and helpers of a run."""
    deadline = time.monotonic() + timeout
    asked: set[int] = set()
    while found := _processes(run):
        late = time.monotonic() > deadline
        if late and time.monotonic() > deadline + timeout:
            return
        for pid, server in found.items():
            if late or pid not in asked:
                number = signal.SIGKILL if late else signal.SIGQUIT if server else signal.SIGTERM
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
                asked.add(pid)
        time.sleep(0.005)


def remove(run: Path) -> None:
    """Remove a run directory; one whose processes are gone, so nothing writes to it any more."""
    for _ in range(3):
        shutil.rmtree(run, ignore_errors=True)
        if not run.exists():
            return
        time.sleep(0.05)


def _processes(run: Path) -> dict[int, bool]:
    """Processes with the directory among their arguments or as a working directory; True for a postmaster."""
    listing = _from_proc(run) if Path("/proc/self/cwd").exists() else _from_ps(run)
    listing.pop(os.getpid(), None)
    return listing


def _from_proc(run: Path) -> dict[int, bool]:
    prefix = os.fsencode(run)
    found: dict[int, bool] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            cwd = os.fsencode(os.readlink(f"/proc/{name}/cwd"))
        except OSError:
            continue
        ours = _inside(cwd, prefix) or any(_inside(word, prefix) for word in words)
        if ours and not any(word.endswith(b"reaper.py") for word in words):
            found[int(name)] = os.path.basename(words[0]) == b"postgres"
    return found


def _inside(path: bytes, prefix: bytes) -> bool:
    return path == prefix or path.startswith(prefix + b"/")


def _from_ps(run: Path) -> dict[int, bool]:
    """Where there is no /proc: by the arguments alone."""
    listing = subprocess.run(
        ["ps", "-axo", "pid=,command="], capture_output=True, text=True, errors="replace", check=False
    )
    found: dict[int, bool] = {}
    for line in listing.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        if f"{run}" in command and "reaper.py" not in command:
            found[int(pid)] = os.path.basename(command.split(" ", 1)[0]) == "postgres"
    return found


def main(run: Path) -> None:
    """Take the lock, stop, remove."""
    lock = lock_file(run)
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return  # the sweep of another run was quicker
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    stop_processes(run)
    remove(run)
    with contextlib.suppress(OSError):
        lock.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
