"""A copy of a running primary as a server of its own, which may be crashed as often as anybody likes.

It lies in the run directory of its pair, so that whatever ends the pair ends it too: ``close``, the watchdog, the sweep.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

import psycopg

from pytest_pgmigrate.engines import reaper, snapshot
from pytest_pgmigrate.engines.base import MAINTENANCE_OPTIONS, OWN_SERVER, SqlCluster
from pytest_pgmigrate.engines.postmaster import Postmaster
from pytest_pgmigrate.errors import EngineError
from pytest_pgmigrate.model.cluster import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from pytest_pgmigrate.engines.accounts import Account
    from pytest_pgmigrate.engines.binaries import Binaries
    from pytest_pgmigrate.engines.databases import Databases

_LOWEST_PORT = 5432
"""The port only names the socket, in a directory of ours: nothing listens on TCP, so none can be taken by others."""


class ServerFork(SqlCluster):
    """One ``postgres`` process beside its pair, reached through a socket alone. ``taken``: ports of the pair."""

    def __init__(
        self, pair: SqlCluster, run: Path, binaries: Binaries, account: Account, number: int, taken: Collection[int]
    ) -> None:
        port = next(port for port in range(_LOWEST_PORT + number, 65536) if port not in taken)
        node = Node("primary", str(run), port, pair.primary.user, pair.primary.password, OWN_SERVER)
        super().__init__(pair.engine, pair.token, node, None)
        self.capabilities = frozenset({"superuser", "logs", "server_settings"})
        self._pair = pair
        self._run = run
        self._account = account
        self._server = Postmaster(binaries.bindir / "postgres", run, f"fork-{number}", port, account, addresses="")

    def logs(self, role: str) -> str:
        """The last part of its log; it is no replica and has none."""
        return self._server.log() if role == "primary" else ""

    def crash(self) -> None:
        """Stop it at once; every connection to it is lost."""
        self._session.close()
        self._server.interrupt()
        self._server.wait_until_ended()

    def restart(self) -> None:
        """Start it again, and wait until it has recovered."""
        # What a server that was killed leaves says "ready" of a process that is gone.
        with contextlib.suppress(FileNotFoundError):
            (self._server.data / "postmaster.pid").unlink()
        self._server.launch()
        self._server.wait_until_ready()

    def _bring_up(self, databases: Databases) -> None:
        try:
            target = _Directory(self._server.data, self._account)
            with self._pair.connect(self._pair.maintenance_database, options=MAINTENANCE_OPTIONS) as connection:
                snapshot.copy_running(connection, self._run / "primary", target)
        except (OSError, psycopg.Error) as error:
            raise EngineError(f"the primary could not be copied: {' '.join(str(error).split())}") from error
        self.restart()
        self._read_version()
        self._made().copied(databases)

    def _stop(self) -> None:
        self._server.interrupt()
        self._server.wait_until_ended()
        reaper.remove(self._server.data)
        with contextlib.suppress(OSError):
            self._server.log_file.unlink()


class _Directory:
    """A directory to copy into, with private files of ``account``."""

    def __init__(self, path: Path, account: Account) -> None:
        self._path = str(path)
        self._account = account
        self._folder(self._path)

    def tree(self, directory: Path, keep: Callable[[str], bool]) -> None:
        """Copy what ``keep`` wants. A file that vanishes meanwhile is left out; a backup of a running server allows that."""
        for root, folders, names in os.walk(directory):
            below = os.path.relpath(root, directory)
            for name in folders:
                self._folder(os.path.join(self._path, below, name))
            for name in names:
                path = os.path.normpath(os.path.join(below, name))
                if keep(path):
                    with contextlib.suppress(FileNotFoundError):
                        self.file(os.path.join(root, name), path)

    def file(self, path: str | Path, name: str) -> None:
        """Copy one file."""
        target = os.path.join(self._path, name)
        shutil.copyfile(path, target)
        os.chmod(target, 0o600)
        self._own(target)

    def data(self, name: str, content: bytes) -> None:
        """Write one file."""
        target = os.path.join(self._path, name)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        self._own(target)

    def _folder(self, path: str) -> None:
        os.mkdir(path, 0o700)
        self._own(path)

    def _own(self, path: str) -> None:
        if self._account.dropped:
            os.chown(path, self._account.uid, self._account.gid)
