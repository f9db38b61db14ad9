"""Which operating-system user the servers run as, and in which environment."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """The user that runs the servers: ourselves, or an existing other user when we are root, which PostgreSQL refuses.

    No user is ever created and no directory of somebody else's is opened up.
    """

    uid: int
    gid: int
    dropped: bool

    @property
    def process(self) -> dict[str, Any]:
        """Arguments for subprocess that make a child run as this user, away from our directory and environment."""
        identity: dict[str, Any] = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.dropped else {}
        return {"cwd": "/", "env": environment(), **identity}

    def own(self, *paths: Path) -> None:
        """Hand files that we just made to this user."""
        if self.dropped:
            for path in paths:
                os.chown(path, self.uid, self.gid)

    def run(self, command: Sequence[str | Path], timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a short program as this user and return what it said. Raises EngineError when it cannot be started."""
        try:
            return subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False, **self.process
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EngineError(f"{command[0]} could not be run as user {self.uid}: {error}") from error


def environment() -> dict[str, str]:
    """Our environment without what changes a server's behaviour unseen: PG*, LANG and LC_*."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def server_account() -> Account:
    """The user for the servers. As root: ``postgres``, else who called sudo, else ``nobody``. Raises EngineError."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), dropped=False)
    for name in ("postgres", os.environ.get("SUDO_USER", ""), "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != 0:
                return Account(entry.pw_uid, entry.pw_gid, dropped=True)
    raise EngineError("running as root, which PostgreSQL refuses, and there is no user postgres or nobody to run it as")
