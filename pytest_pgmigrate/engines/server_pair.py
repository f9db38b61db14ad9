"""A primary and its replica as two processes on this machine: what the ``local`` and ``embedded`` engines share.

Both data directories are copies of one template. A copy of a cleanly initialised directory plus ``standby.signal`` is a
valid standby (https://www.postgresql.org/docs/current/warm-standby.html#STANDBY-SERVER-SETUP), so no base backup is
taken, and both servers start at the same moment.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from pytest_pgmigrate.engines import reaper, settings, snapshot
from pytest_pgmigrate.engines.accounts import Account, server_account
from pytest_pgmigrate.engines.base import MAINTENANCE_OPTIONS, OWN_SERVER, SqlCluster
from pytest_pgmigrate.engines.filled import FilledCache
from pytest_pgmigrate.engines.fork import ServerFork
from pytest_pgmigrate.engines.names import new_token
from pytest_pgmigrate.engines.pack import Packed, Packer
from pytest_pgmigrate.engines.postmaster import PATIENCE, PortTaken, Postmaster
from pytest_pgmigrate.engines.rundir import RunDirectory, sweep
from pytest_pgmigrate.engines.template import build_key, reachable, sweep_partial, template_file
from pytest_pgmigrate.engines.watchdog import Watchdog
from pytest_pgmigrate.errors import EngineError
from pytest_pgmigrate.model.cluster import Filled, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_pgmigrate.engines.binaries import Binaries
    from pytest_pgmigrate.model.cluster import Want

ROLES = ("primary", "replica")


class ServerPair(SqlCluster):
    """Two ``postgres`` processes in one run directory."""

    def __init__(self, engine: str, run: RunDirectory, token: str, ports: tuple[int, int], account: Account) -> None:
        password = secrets.token_urlsafe(24)
        nodes = [
            Node(role, "127.0.0.1", port, "postgres", password, OWN_SERVER)
            for role, port in zip(ROLES, ports, strict=True)
        ]
        super().__init__(engine, token, nodes[0], nodes[1])
        self.capabilities = frozenset({"replica", "superuser", "logs", "pause_replay", "server_settings", "forks"})
        self._run = run
        self._account = account
        self._servers: dict[str, Postmaster] = {}
        self._binaries: Binaries | None = None
        self._forks: list[ServerFork] = []
        self._watchdog: Watchdog | None = None
        self._cache: FilledCache | None = None
        self.filled: Filled | None = None

    def parameters(self, node: Node, database: str) -> dict[str, str]:
        """Through the socket: quicker than TCP, and no password has to be checked."""
        return {**node.parameters(database), "host": str(self._run.path)}

    def logs(self, role: str) -> str:
        """The last 64 kB of a server's log."""
        server = self._servers.get(role)
        return server.log() if server is not None else ""

    def remember(self, database: str, facts: Mapping[str, Any]) -> bool:
        """Keep the primary as it is now for the next run that wants this content; see ``model.cluster.Keeps``."""
        if self._cache is None:
            return False

        def write(packer: Packer) -> dict[str, Any]:
            snapshot.copy_running(connection, self._run.path / "primary", packer)
            return {"database": database, "facts": dict(facts)}

        try:
            with self.connect(database, options=MAINTENANCE_OPTIONS) as connection:
                return not snapshot.cannot_be_kept(connection) and self._cache.save(write)
        except (psycopg.Error, EngineError):
            return False

    def fork(self) -> ServerFork:
        """A copy of the primary, beside it in the run directory; see ``model.cluster.Forks``."""
        if self._binaries is None:
            raise EngineError("the servers are not started yet")
        taken = {self.primary.port, self.replica.port if self.replica is not None else 0}
        fork = ServerFork(self, self._run.path, self._binaries, self._account, len(self._forks) + 1, taken)
        self._forks.append(fork)
        try:
            fork._bring_up(self._made())
        except BaseException:
            fork.close()
            raise
        return fork

    def _bring_up(self, binaries: Binaries, want: Want, progress: Callable[[str], None], packed: Packed | None) -> None:
        """Start from ``packed``, or from the template of these binaries."""
        self._watchdog = Watchdog(["-I", "-S", str(Path(reaper.__file__).absolute()), str(self._run.path)])
        self._binaries = binaries
        wanted = settings.checked(want.settings)
        with contextlib.closing(packed or self._template(binaries)) as source, ThreadPoolExecutor(1) as pool:
            progress("starting a primary and its replica")
            # Both directories are written at once, and the primary starts while the replica's may still be on its way.
            copying = pool.submit(self._copy, "replica", source, self._standby_settings(wanted))
            self._copy("primary", source, wanted)
            self._launch("primary", binaries)
            copying.result()
        self._launch("replica", binaries)
        self._servers["primary"].wait_until_ready()
        self._set_password()
        self._servers["replica"].wait_until_ready()
        self._read_version()
        if packed is not None:
            self.filled = Filled(self._made().adopt(packed.facts["database"], "work"), packed.facts["facts"])
        self._wait_until_streaming()
        self.wait_for_replica(timeout=PATIENCE)

    def _template(self, binaries: Binaries) -> Packed:
        template = template_file(binaries, self._account, self._run.path, _base_settings(binaries))
        try:
            return Packed(template)
        except (OSError, ValueError) as error:
            raise EngineError(f"{template} could not be read: {error}; remove it") from error

    def _copy(self, role: str, source: Packed, lines: dict[str, str]) -> None:
        target = self._run.path / role
        try:
            source.unpack(target, self._account)
            with open(target / "postgresql.conf", "a", encoding="utf-8") as file:
                file.write(settings.as_file(lines))
            if role == "replica":
                signal_file = target / "standby.signal"
                signal_file.touch(mode=0o600)
                self._account.own(signal_file)
        except OSError as error:
            raise EngineError(f"{source.file} could not be copied to {target}: {error}") from error

    def _standby_settings(self, wanted: dict[str, str]) -> dict[str, str]:
        source = f"host={self._run.path} port={self.primary.port} user=postgres sslmode=disable"
        conninfo = f"{source} application_name=pgmigrate_replica"
        return {**settings.for_standby(wanted), "primary_conninfo": conninfo}

    def _launch(self, role: str, binaries: Binaries) -> None:
        node = self.primary if role == "primary" else self.replica
        assert node is not None
        server = Postmaster(binaries.bindir / "postgres", self._run.path, role, node.port, self._account)
        self._servers[role] = server
        server.launch()

    def _set_password(self) -> None:
        secret = sql.Literal(scram_secret(self.primary.password))
        self._session.run(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(secret))

    def _wait_until_streaming(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._session.rows("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"):
            if time.monotonic() > deadline or self._servers["replica"].ended:
                raise EngineError(f"the replica does not stream; its log ends with:\n{self.logs('replica')[-2000:]}")
            time.sleep(0.002)

    def _before_stop(self) -> None:
        for fork in self._forks:
            fork.close()

    def _let_go(self) -> None:
        # The lock of the run directory goes with this process, so the next start finds it abandoned and sweeps it.
        if self._watchdog is not None:
            self._watchdog.dismiss()

    def _stop(self) -> None:
        for server in self._servers.values():
            server.interrupt()
        for server in self._servers.values():
            server.wait_until_ended()
        self._run.remove()
        if self._watchdog is not None:
            self._watchdog.dismiss()


def start_pair(engine: str, binaries: Binaries, want: Want, progress: Callable[[str], None]) -> ServerPair:
    """Start a pair from these binaries; returns when a write on the primary was seen on the replica.

    When the wanted content is in the cache, the pair has it. Raises EngineError with the end of the server's log.
    """
    account = server_account()
    sweep_runs()
    usable = reachable(binaries, account)
    cache = _cache(usable, account, want)
    attempts, look = 5, cache is not None
    while True:
        attempts -= 1
        token = new_token()
        packed = cache.open() if cache is not None and look else None
        cluster = ServerPair(engine, RunDirectory(token, account), token, _free_ports(), account)
        try:
            cluster._bring_up(usable, want, progress, packed)
        except PortTaken as error:
            cluster.close()
            if not attempts:
                raise EngineError(f"{error}, five times in a row") from error
        except BaseException as error:
            cluster.close()
            if cache is None or packed is None or not isinstance(error, (EngineError, psycopg.Error)):
                raise
            # Whole, but no server starts from it: without it one may.
            cache.remove()
            look = False
        else:
            if cache is not None:
                cluster._cache = cache
                cluster.capabilities |= {"keeps"}
            return cluster


def _cache(binaries: Binaries, account: Account, want: Want) -> FilledCache | None:
    """Where the wanted content is kept, if it may be."""
    if not want.content:
        return None
    build = build_key(binaries, account, _base_settings(binaries))
    return FilledCache(want.content, build, settings.checked(want.settings), want.cache_bytes)


def _base_settings(binaries: Binaries) -> str:
    return settings.as_file(settings.base_settings(binaries.version[0]))


def sweep_runs() -> int:
    """Remove what dead runs of ours left on this machine; returns how many."""
    sweep_partial()
    return sweep(server_account())


def scram_secret(password: str, iterations: int = 4096) -> str:
    """A password as the server stores it, so that the password itself is in no log and no pg_stat_activity.

    The format is that of pg_authid.rolpassword (https://www.postgresql.org/docs/current/catalog-pg-authid.html), the
    arithmetic that of RFC 5803.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{parts[0]}${parts[1]}:{parts[2]}"


def _free_ports() -> tuple[int, int]:
    """Two ports that are free now; both are held until both are known, so they differ."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return int(first.getsockname()[1]), int(second.getsockname()[1])
