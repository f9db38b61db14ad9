"""The ``docker`` engine: a primary and its replica in containers, through testcontainers."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pgmigrate.errors import EngineError
from pytest_pgmigrate.model.cluster import Availability

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_pgmigrate.model.cluster import Cluster, Want

# testcontainers and docker take 0.3 s to import: only for those who use this engine, hence inside the functions.

DEFAULT_MAJOR = 18


class DockerEngine:
    """Two containers that share a network namespace, or one with both servers (``containers == 1``)."""

    name = "docker"

    def probe(self, want: Want) -> Availability:
        """Whether a Docker engine answers and has the image (or may pull it). Starts and pulls nothing."""
        image = wanted_image(want)
        if not endpoint_known():
            return Availability(False, "no Docker engine: DOCKER_HOST is not set and there is no socket")
        from pytest_pgmigrate.engines import _containers as containers

        try:
            connection = containers.client(timeout=5)
            with contextlib.closing(connection.client):
                major = containers.image_major(connection, image)
        except EngineError as error:
            if want.pull and "is not on this machine" in str(error):
                return Availability(True, f"image {image}, to be pulled", want.major)
            return Availability(False, str(error))
        if want.major is not None and major is not None and major != want.major:
            return Availability(False, f"image {image} holds PostgreSQL {major}, not {want.major}", major)
        return Availability(True, f"image {image}", major)

    def start(self, want: Want, progress: Callable[[str], None]) -> Cluster:
        """Start the containers. Raises EngineError with the end of their log."""
        from pytest_pgmigrate.engines import _containers as containers

        image = wanted_image(want)
        connection = containers.client()
        try:
            containers.sweep(connection)
            try:
                major = containers.image_major(connection, image)
            except EngineError:
                if not want.pull:
                    raise
                progress(f"pulling {image}")
                containers.pull(connection, image)
                major = containers.image_major(connection, image)
            if want.major is not None and major is not None and major != want.major:
                raise EngineError(f"image {image} holds PostgreSQL {major}, not {want.major}")
            everywhere = not containers.loopback(connection)
        finally:
            connection.client.close()
        from pytest_pgmigrate.engines._container_pair import ContainerPair

        cluster = ContainerPair(image, major or want.major or 0, want, everywhere)
        try:
            cluster._bring_up(progress)
            cluster._check_major(want.major)
        except BaseException:
            cluster.close()
            raise
        return cluster

    def sweep(self) -> int:
        """Remove the containers of dead runs; 0 when no Docker engine answers."""
        if not endpoint_known():
            return 0
        from pytest_pgmigrate.engines import _containers as containers

        try:
            connection = containers.client(timeout=10)
        except EngineError:
            return 0
        with contextlib.closing(connection.client):
            return containers.sweep(connection)


def endpoint_known() -> bool:
    """Whether anything says where a Docker engine is; without that the libraries need not even be imported."""
    if os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT"):
        return True
    home = Path("~").expanduser()
    places = [
        Path("/var/run/docker.sock"),
        home / ".docker/run/docker.sock",
        home / ".docker/config.json",
        home / ".testcontainers.properties",
        Path(os.environ.get("XDG_RUNTIME_DIR", "/run/user/0")) / "docker.sock",
    ]
    return any(place.exists() for place in places)


def wanted_image(want: Want) -> str:
    """The image asked for, else the official one of the wanted version."""
    return want.image or f"postgres:{want.major or DEFAULT_MAJOR}"


def reap(token: str) -> None:
    """The watchdog's errand: remove the containers of one dead run.

    A container may still be in the making: the request of a dead process is carried out all the same.
    """
    from pytest_pgmigrate.engines import _containers as containers

    connection = containers.client()
    quiet = 0
    while quiet < 5:
        quiet = 0 if containers.sweep(connection, token=token) else quiet + 1
        time.sleep(0.2)


ENGINE = DockerEngine()

if __name__ == "__main__":
    reap(sys.argv[1])
