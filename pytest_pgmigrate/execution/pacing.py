"""Keeps the runner from getting ahead of the replica: it waits before the next migration, and before the next chunk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg

from pytest_pgmigrate.errors import ReplicaBehind
from pytest_pgmigrate.options import lag_limit

if TYPE_CHECKING:
    from pytest_pgmigrate.model.cluster import Cluster
    from pytest_pgmigrate.options import Settings

LONGEST_PAUSE = 0.1
"""Seconds between two looks at the replica."""

# Asked on the replica, where the function knows an answer. Replay that has all there is lags by nothing, however long
# ago the last transaction was.
_BEHIND = """
SELECT pg_wal_lsn_diff(%(at)s::pg_lsn, p.lsn)::bigint,
       CASE WHEN p.lsn >= %(at)s::pg_lsn THEN 0
            ELSE coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0) END::float8
FROM (SELECT coalesce(pg_last_wal_replay_lsn(), '0/0') AS lsn) p
"""


class Pace:
    """Waits for the replica of one cluster. ``wait`` does nothing without a limit, or without a replica."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster = cluster
        self._text = settings.max_replica_lag or ""
        self._limit = lag_limit(self._text) if self._text and cluster.replica is not None else None
        self._patience = settings.replica_lag_timeout
        self._replica: psycopg.Connection[tuple[int, float]] | None = None
        self.seconds = 0.0
        """Waited so far."""

    @property
    def limited(self) -> bool:
        """Whether there is anything to wait for."""
        return self._limit is not None

    def wait(self, what: str) -> None:
        """Return when the replica is near enough; ``what`` is about to be sent. Raises ReplicaBehind."""
        if self._limit is None:
            return
        started, pause = time.monotonic(), 0.001
        while True:
            size, seconds = self._behind()
            if size <= self._limit[1] and seconds <= self._limit[0]:
                break
            waited = time.monotonic() - started
            if waited >= self._patience:
                raise ReplicaBehind(
                    f"{what} was not sent: after {self._patience:g} s the replica is still {size:,} bytes of WAL and "
                    f"{seconds:.1f} s behind, pgmigrate_max_replica_lag allows {self._text}; see what it replays, or "
                    f"raise pgmigrate_replica_lag_timeout"
                )
            time.sleep(min(pause, self._patience - waited))
            pause = min(pause * 1.5, LONGEST_PAUSE)
        self.seconds += time.monotonic() - started

    def close(self) -> None:
        """Leave the replica."""
        if self._replica is not None:
            self._replica.close()
            self._replica = None

    def _behind(self) -> tuple[int, float]:
        """Bytes of WAL and seconds by which replay is behind what is flushed now."""
        if self._replica is None or self._replica.closed:
            self._replica = self._cluster.connect(self._cluster.maintenance_database, replica=True)
        position = self._cluster.lsn()
        size, seconds = self._replica.execute(_BEHIND, {"at": position}).fetchall()[0]
        return max(int(size), 0), float(seconds)
