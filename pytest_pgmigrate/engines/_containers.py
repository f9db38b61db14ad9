"""Containers of ours: made by testcontainers, labelled with their owner, removed when that is gone.

The labels are part of the request that makes a container, so there is no moment at which one exists without them. No
network and no volume is made: the replica shares the primary's network namespace, and what an image declares as a
volume is covered by memory.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import socket
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import docker.errors
from docker.types import Mount

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.docker_client import DockerClient

from pytest_pgmigrate.engines.container_scripts import HOME
from pytest_pgmigrate.engines.names import PREFIX
from pytest_pgmigrate.engines.owners import Owner
from pytest_pgmigrate.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable

TOKEN = "pgmigrate.token"  # noqa: S105 - the name of a label
QUIET_HOURS = 24
"""Age at which a running container is removed whose owner cannot be looked up from here (a shared remote daemon)."""

# Ryuk is an image of its own that may not be there to pull; owner labels and the watchdog do its work.
testcontainers_config.ryuk_disabled = True


def client(timeout: float = 60) -> DockerClient:
    """A client of the Docker engine that testcontainers would use. Raises EngineError when none answers."""
    try:
        found = DockerClient(timeout=timeout)
        found.client.ping()
    except Exception as error:  # docker, requests, paramiko and ssh each raise their own
        said = _short(error)
    else:
        return found
    # The library leaves the socket of a failed connection to the garbage collector, which would warn about it later, in
    # the middle of a user's test run.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    raise EngineError(f"no Docker engine answers: {said}")


def image_major(connection: DockerClient, image: str) -> int | None:
    """The PostgreSQL version that an image says it holds (PG_MAJOR). Raises EngineError when the image is not there."""
    attributes = _image(connection, image)
    for entry in attributes.get("Config", {}).get("Env") or ():
        name, _, value = entry.partition("=")
        if name == "PG_MAJOR" and value.split(".")[0].isdigit():
            return int(value.split(".")[0])
    return None


def pull(connection: DockerClient, image: str) -> None:
    """Pull an image. Raises EngineError with the registry's answer."""
    try:
        connection.client.images.pull(full_name(image))
    except docker.errors.APIError as error:
        raise EngineError(f"image {image} is not on this machine and could not be pulled: {_short(error)}") from error


def full_name(image: str) -> str:
    """The image's name with the prefix that testcontainers was told to use (a private registry)."""
    return f"{getattr(testcontainers_config, 'hub_image_name_prefix', '')}{image}"


def loopback(connection: DockerClient) -> bool:
    """Whether the engine's loopback is ours too: it is neither remote, nor are we in one of its containers.

    In a container we may as well run an engine of our own; then the gateway of its bridge is an address of ours.
    """
    if connection.host() not in ("localhost", "127.0.0.1"):
        return False
    if connection.get_connection_mode().value == "docker_host":
        return True
    try:
        settings = connection.client.networks.get("bridge").attrs["IPAM"]["Config"][0]
        gateway = settings.get("Gateway") or str(next(ip_network(settings["Subnet"]).hosts()))
        with socket.socket() as probe:
            probe.bind((gateway, 0))
    except (docker.errors.DockerException, OSError, LookupError, TypeError, ValueError):
        return False
    return True


class OurContainer:
    """One container. ``publish`` is the ports to publish: on loopback, unless ``everywhere``."""

    def __init__(
        self,
        image: str,
        token: str,
        role: str,
        command: list[str],
        environment: dict[str, str],
        *,
        publish: Iterable[int] = (),
        everywhere: bool = False,
        network_of: OurContainer | None = None,
        user: str | None = None,
    ) -> None:
        container = DockerContainer(image).with_name(f"{PREFIX}-{token}-{role}")
        for name, value in environment.items():
            container.with_env(name, value)
        attributes = _image(container.get_docker_client(), image)
        declared = attributes.get("Config", {}).get("Volumes") or {}
        options: dict[str, Any] = {
            "labels": {**Owner.current().labels(), TOKEN: token, "pgmigrate.role": role},
            "entrypoint": ["sh"],
            "stdin_open": True,
            "auto_remove": True,
            "shm_size": "256m",
            "mounts": [
                Mount(target=HOME, source=None, type="tmpfs", tmpfs_mode=0o1777),
                *(Mount(target=path, source=None, type="tmpfs") for path in declared),
            ],
        }
        if user is not None:
            options["user"] = user
        if network_of is not None:
            options |= {"network_mode": f"container:{network_of.id}", "network": None}
        self._made = container.with_command(command).with_kwargs(**options)
        host = None if everywhere else ("127.0.0.1",)
        self._made.ports = {f"{port}/tcp": host for port in publish}
        self._input: Any = None
        self._host = None if everywhere else "127.0.0.1"

    @property
    def id(self) -> str:
        """The container's id."""
        return str(self._wrapped().id)

    def start(self) -> None:
        """Create and start it; from then on it ends when we do. Raises EngineError."""
        try:
            self._made.start()
            # A remote or forwarded connection may be cut while idle, which the guard would take for our end.
            if self._wrapped().client.api.base_url.startswith("http+docker"):
                self._input = self._wrapped().attach_socket(params={"stdin": 1, "stream": 1})
        except (docker.errors.DockerException, OSError) as error:
            raise EngineError(f"the container could not be started: {_short(error)}") from error

    def keep(self) -> None:
        """Let it outlive us; the next run finds its owner gone and removes it."""
        if self._input is not None:
            with contextlib.suppress(OSError):
                self._input._sock.sendall(b"keep\n")

    def address(self, port: int) -> tuple[str, int]:
        """Where we reach a published port."""
        if self._host is None:
            self._host = str(self._made.get_container_host_ip())
        return self._host, int(self._made.get_exposed_port(port))

    def logs(self, lines: int = 400) -> str:
        """The last lines of its log; empty when it is gone."""
        try:
            return str(self._wrapped().logs(tail=lines).decode("utf-8", "replace"))
        except (docker.errors.DockerException, OSError, EngineError):
            return ""

    def run(self, command: list[str], *, user: str = "", environment: dict[str, str] | None = None) -> None:
        """Start a further process in it, without waiting. Raises EngineError."""
        try:
            self._wrapped().exec_run(command, user=user, environment=environment, detach=True)
        except docker.errors.DockerException as error:
            raise EngineError(f"a second server could not be started: {_short(error)}") from error

    def call(self, command: list[str], *, user: str = "", environment: dict[str, str] | None = None) -> None:
        """Run a short program in it to its end. Raises EngineError with what it said when it fails."""
        try:
            done = self._wrapped().exec_run(command, user=user, environment=environment)
        except (docker.errors.DockerException, OSError) as error:
            raise EngineError(f"a program could not be run in the container: {_short(error)}") from error
        if done.exit_code:
            raise EngineError(" ".join(done.output.decode("utf-8", "replace").split())[-500:])

    def read(self, path: str) -> str:
        """The last part of a file in it; empty when it cannot be read."""
        try:
            return str(self._wrapped().exec_run(["tail", "-c", "64000", path]).output.decode("utf-8", "replace"))
        except (docker.errors.DockerException, OSError, EngineError):
            return ""

    def running(self) -> bool:
        """Whether it is still there and running."""
        try:
            self._wrapped().reload()
            return bool(self._wrapped().status == "running")
        except (docker.errors.DockerException, EngineError):
            return False

    def remove(self) -> None:
        """Remove it with everything in it; never raises for what is gone."""
        with contextlib.suppress(EngineError):
            _remove(self._wrapped())
        if self._input is not None:
            with contextlib.suppress(OSError, AttributeError):
                self._input._sock.close()
            with contextlib.suppress(OSError):
                self._input.close()
        self._made.get_docker_client().client.close()

    def _wrapped(self) -> Any:
        found = self._made._container
        if found is None:
            raise EngineError("the container was not made")
        return found


def sweep(connection: DockerClient, *, token: str | None = None) -> int:
    """Remove the containers of dead runs (or those of one run, by its token); returns the number of runs."""
    label = TOKEN if token is None else f"{TOKEN}={token}"
    found = connection.client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    dead = [c for c in found if token is not None or _abandoned(c)]
    if dead:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(_remove, dead))
    return len({c.labels.get(TOKEN) for c in dead})


def _abandoned(container: Any) -> bool:
    alive = Owner.from_labels(container.labels).alive()
    if alive is not None:
        return not alive
    created = datetime.fromisoformat(container.attrs["Created"][:19]).replace(tzinfo=timezone.utc)
    hours = (datetime.now(timezone.utc) - created).total_seconds() / 3600
    return hours > (1 if container.status in ("exited", "dead", "created") else QUIET_HOURS)


def _remove(container: Any) -> None:
    """Remove a container, waiting until it is gone; it may be going by itself at the same time."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            container.remove(force=True, v=True)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError:
            time.sleep(0.05)  # 409: its removal is in progress
        except OSError:
            return  # the engine is gone, and its containers are not ours to reach any more


def _image(connection: DockerClient, image: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = connection.client.images.get(full_name(image)).attrs
    except docker.errors.ImageNotFound as error:
        raise EngineError(f"image {image} is not on this machine: docker pull {image}") from error
    except (docker.errors.DockerException, OSError) as error:
        raise EngineError(f"image {image} cannot be looked up: {_short(error)}") from error
    return found


def _short(error: BaseException) -> str:
    """The part of an HTTP library's message that a person can use."""
    text = " ".join(str(error).split()) or type(error).__name__
    # As http libraries show it: [Errno 111] Connection refused, or FileNotFoundError(2, 'No such file or directory').
    if system := re.search(r"\[Errno \d+\] ([^\"')]+)|Error\(\d+, '([^']+)'|([Tt]imed out[^\"')]*)", text):
        where = os.environ.get("DOCKER_HOST") or "the default socket"
        return f"{next(filter(None, system.groups())).strip()} ({where})"
    return text if len(text) <= 300 else f"{text[:300]}…"
