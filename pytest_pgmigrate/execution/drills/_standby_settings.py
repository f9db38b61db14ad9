"""Other settings on a replica of ours, and back again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg import sql

from pytest_pgmigrate.errors import ExecutionError

if TYPE_CHECKING:
    from pytest_pgmigrate.model.cluster import Cluster

PATIENCE = 20.0
"""Seconds within which a reloaded setting must be in force."""

_FEEDBACK = "SELECT coalesce(bool_and((backend_xmin IS NOT NULL) = %s), false) FROM pg_stat_replication"


@contextmanager
def standby_settings(cluster: Cluster, wanted: Mapping[str, str]) -> Iterator[None]:
    """The replica with these settings for the duration of the block. Raises ExecutionError when they do not take."""
    with cluster.connect(cluster.maintenance_database, replica=True) as connection:
        before = {
            name: str(connection.execute("SELECT current_setting(%s)", (name,)).fetchall()[0][0]) for name in wanted
        }
        try:
            for name, value in wanted.items():
                connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
            connection.execute("SELECT pg_reload_conf()")
            _wait(cluster, wanted)
            yield
        finally:
            for name in wanted:
                connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
            connection.execute("SELECT pg_reload_conf()")
            _wait(cluster, before)


def _wait(cluster: Cluster, wanted: Mapping[str, str]) -> None:
    """Until a new session has the settings, for then all processes were told, and the primary knows of the feedback."""
    deadline = time.monotonic() + PATIENCE
    while not _in_force(cluster, wanted):
        if time.monotonic() > deadline:
            raise ExecutionError(f"the replica did not take in {', '.join(wanted)}")
        time.sleep(0.002)


def _in_force(cluster: Cluster, wanted: Mapping[str, str]) -> bool:
    with cluster.connect(cluster.maintenance_database, replica=True) as fresh:
        for name, value in wanted.items():
            if fresh.execute("SELECT current_setting(%s)", (name,)).fetchall()[0][0] != value:
                return False
    feedback = wanted.get("hot_standby_feedback")
    if feedback is None:
        return True
    with cluster.connect(cluster.maintenance_database) as primary:
        return bool(primary.execute(_FEEDBACK, (feedback == "on",)).fetchall()[0][0])
