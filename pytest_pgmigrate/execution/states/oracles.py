"""One WAL oracle per server, shared by the readers of its databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.states.wal import WalOracle

if TYPE_CHECKING:
    from pytest_pgmigrate.model.cluster import Cluster

_Server = tuple[str, int]
_open: dict[_Server, tuple[WalOracle | None, int]] = {}


def acquire(cluster: Cluster) -> WalOracle | None:
    """The oracle of this cluster, opened for its first user; None where there is none."""
    server = (cluster.primary.host, cluster.primary.port)
    oracle, users = _open.get(server, (None, 0))
    if users == 0 or (oracle is not None and oracle.closed):
        oracle = WalOracle.open(cluster)
    _open[server] = (oracle, users + 1)
    return oracle


def release(cluster: Cluster) -> None:
    """Give the oracle back; the last user closes it."""
    server = (cluster.primary.host, cluster.primary.port)
    oracle, users = _open.get(server, (None, 0))
    if users > 1:
        _open[server] = (oracle, users - 1)
        return
    _open.pop(server, None)
    if oracle is not None:
        oracle.close()
