"""A primary and its replica in one or two containers. Imports testcontainers: only for those who use the engine."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg

from pytest_pgmigrate.engines import container_scripts as scripts
from pytest_pgmigrate.engines import settings
from pytest_pgmigrate.engines._container_fork import ContainerFork
from pytest_pgmigrate.engines._containers import OurContainer
from pytest_pgmigrate.engines.base import OWN_SERVER, SqlCluster
from pytest_pgmigrate.engines.names import new_token
from pytest_pgmigrate.engines.watchdog import Watchdog, module_environment
from pytest_pgmigrate.errors import EngineError
from pytest_pgmigrate.model.cluster import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_pgmigrate.model.cluster import Want

PATIENCE = 120.0
"""Seconds to wait for a server; a first start on a busy machine is no error."""


class ContainerPair(SqlCluster):
    """A primary and its replica in one or two containers. ``major`` is 0 when the image does not say."""

    def __init__(self, image: str, major: int, want: Want, everywhere: bool) -> None:
        password = secrets.token_urlsafe(24)
        # Where the servers listen is known once the containers run.
        nodes = [Node(role, "127.0.0.1", 0, "postgres", password, OWN_SERVER) for role in ("primary", "replica")]
        super().__init__("docker", new_token(), nodes[0], nodes[1])
        self.capabilities = frozenset({"replica", "superuser", "logs", "pause_replay", "server_settings", "forks"})
        if everywhere:
            self.notes = ("the Docker engine is not on this machine: its ports are open on all of its addresses",)
        self._image = image
        self._major = major
        self._want = want
        self._everywhere = everywhere
        self._containers: list[OurContainer] = []
        self._watchdog: Watchdog | None = None
        self._arguments: list[str] = []
        self._fork: ContainerFork | None = None

    def logs(self, role: str) -> str:
        """The last part of a server's log."""
        if not self._containers:
            return ""
        if role == "primary":
            return self._containers[0].logs()
        return self._containers[-1].read(f"{scripts.HOME}/replica.log")

    def fork(self) -> ContainerFork:
        """A copy of the primary, in its container; one at a time. See ``model.cluster.Forks``."""
        if not self._containers:
            raise EngineError("the containers are not started yet")
        if self._fork is not None and not self._fork.closed:
            raise EngineError("there is a copy of the primary already, and one port for it")
        self._fork = fork = ContainerFork(self, self._containers[0], self._arguments)
        try:
            fork._bring_up(self._made())
        except BaseException:
            fork.close()
            raise
        return fork

    def _bring_up(self, progress: Callable[[str], None]) -> None:
        module = ["-m", "pytest_pgmigrate.engines.docker", self.token]
        self._watchdog = Watchdog(module, module_environment())
        progress(f"starting a primary and its replica from {self._image}")
        wanted = settings.checked(self._want.settings)
        base = settings.base_settings(self._major)
        self._arguments = settings.as_arguments({**base, **wanted})
        primary = self._start_primary(self._arguments)
        self._start_replica(primary, settings.as_arguments({**base, **settings.for_standby(wanted)}))
        host, port = primary.address(scripts.PRIMARY_PORT)
        replica_port = primary.address(scripts.REPLICA_PORT)[1]
        password = self.primary.password
        self._set_nodes(
            Node("primary", host, port, "postgres", password, OWN_SERVER),
            Node("replica", host, replica_port, "postgres", password, OWN_SERVER),
        )
        self._wait_until_serving("primary")
        self._wait_until_serving("replica")
        self._read_version()
        self._wait_until_streaming()
        self.wait_for_replica(timeout=PATIENCE)

    def _start_primary(self, arguments: list[str]) -> OurContainer:
        locale = "--locale=C.UTF-8"
        if self._major >= 17:
            locale = "--locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C"
        environment = {
            "PGDATA": f"{scripts.HOME}/data",
            "POSTGRES_USER": "postgres",
            "POSTGRES_PASSWORD": self.primary.password,
            "POSTGRES_DB": "postgres",
            "POSTGRES_INITDB_ARGS": f"--no-sync --encoding=UTF8 --auth-local=trust --auth-host=scram-sha-256 {locale}",
        }
        container = OurContainer(
            self._image,
            self.token,
            "primary",
            scripts.guarded("docker-entrypoint.sh", "postgres", *arguments),
            environment,
            publish=(scripts.PRIMARY_PORT, scripts.REPLICA_PORT, scripts.FORK_PORT),
            everywhere=self._everywhere,
        )
        self._containers.append(container)
        container.start()
        return container

    def _start_replica(self, primary: OurContainer, arguments: list[str]) -> None:
        """Start it at once: it waits for the primary by itself, while the primary is still initialising."""
        command = scripts.replica_command(arguments)
        environment = {"PGPASSWORD": self.primary.password}
        if self._want.containers == 1:
            primary.run(command, user="postgres", environment=environment)
            return
        container = OurContainer(
            self._image,
            self.token,
            "replica",
            scripts.guarded(*command),
            environment,
            network_of=primary,
            user="postgres",
        )
        self._containers.append(container)
        container.start()

    def _set_nodes(self, primary: Node, replica: Node) -> None:
        self.primary = primary
        self.replica = replica

    def _wait_until_serving(self, role: str) -> None:
        deadline = time.monotonic() + PATIENCE
        next_look = time.monotonic() + 1
        while True:
            try:
                self.connect("postgres", replica=role == "replica").close()
                return
            except psycopg.OperationalError as error:
                said = " ".join(str(error).split())
            now = time.monotonic()
            if now > next_look or now > deadline:
                next_look = now + 1
                logs = [container.logs() for container in self._containers]
                if now > deadline or not self._all_run():
                    shown = (self.logs(role) or logs[0])[-2000:].strip()
                    raise EngineError(
                        f"the {role} of {self._image} does not serve ({said}); its log ends with:\n{shown}"
                    )
            time.sleep(0.02)

    def _all_run(self) -> bool:
        """Whether each container and the server in it still run."""
        return all(c.running() and scripts.EXITED not in c.logs() for c in self._containers)

    def _wait_until_streaming(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._session.rows("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"):
            if time.monotonic() > deadline:
                raise EngineError(f"the replica does not stream; its log ends with:\n{self.logs('replica')[-2000:]}")
            time.sleep(0.005)

    def _before_stop(self) -> None:
        if self._fork is not None:
            self._fork.close()

    def _let_go(self) -> None:
        for container in self._containers:
            container.keep()
        if self._watchdog is not None:
            self._watchdog.dismiss()

    def _stop(self) -> None:
        if self._containers:
            with ThreadPoolExecutor(len(self._containers)) as pool:
                list(pool.map(lambda container: container.remove(), self._containers))
        if self._watchdog is not None:
            self._watchdog.dismiss()
