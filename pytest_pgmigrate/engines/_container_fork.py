"""A copy of the primary as a further server in its container, which may be crashed. Ends with the container."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import psycopg

from pytest_pgmigrate.engines import container_scripts as scripts
from pytest_pgmigrate.engines.base import OWN_SERVER, SqlCluster
from pytest_pgmigrate.errors import EngineError
from pytest_pgmigrate.model.cluster import Node

if TYPE_CHECKING:
    from pytest_pgmigrate.engines._containers import OurContainer
    from pytest_pgmigrate.engines.databases import Databases

DATA = f"{scripts.HOME}/fork"
USER = "postgres"
PATIENCE = 120.0
"""Seconds to wait for the server; a busy machine is no error."""


class ContainerFork(SqlCluster):
    """One ``postgres`` process beside the primary. ``arguments``: the settings that the primary was started with."""

    def __init__(self, pair: SqlCluster, container: OurContainer, arguments: list[str]) -> None:
        host, port = container.address(scripts.FORK_PORT)
        node = Node("primary", host, port, pair.primary.user, pair.primary.password, OWN_SERVER)
        super().__init__(pair.engine, pair.token, node, None)
        self.capabilities = frozenset({"superuser", "logs", "server_settings"})
        self._container = container
        self._arguments = arguments

    @property
    def closed(self) -> bool:
        """Whether it was closed, so that its port is free."""
        return self._closed

    def logs(self, role: str) -> str:
        """The last part of its log; it is no replica and has none."""
        return self._container.read(f"{DATA}.log") if role == "primary" else ""

    def crash(self) -> None:
        """Stop it at once; every connection to it is lost."""
        self._session.close()
        self._container.call(scripts.script(scripts.CRASH, DATA), user=USER)

    def restart(self) -> None:
        """Start it again, and wait until it has recovered."""
        self._container.run(scripts.script(scripts.START, DATA, *self._arguments), user=USER)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                # The port is open before the server is there, so that an answer is all that counts.
                self.connect(self.maintenance_database).close()
                return
            except psycopg.OperationalError as error:
                said = " ".join(str(error).split())
            if time.monotonic() > deadline:
                log = self.logs("primary")[-2000:].strip()
                raise EngineError(f"the copy of the primary does not serve ({said}); its log ends with:\n{log}")
            time.sleep(0.01)

    def _bring_up(self, databases: Databases) -> None:
        environment = {"PGPASSWORD": self.primary.password}
        try:
            self._container.call(scripts.script(scripts.FORK, DATA), user=USER, environment=environment)
        except EngineError as error:
            raise EngineError(f"the primary could not be copied: {error}") from error
        self.restart()
        self._read_version()
        self._made().copied(databases)

    def _stop(self) -> None:
        with contextlib.suppress(EngineError):
            self._container.call(scripts.script(scripts.CRASH, DATA), user=USER)
            self._container.call(["rm", "-rf", DATA, f"{DATA}.log"])
