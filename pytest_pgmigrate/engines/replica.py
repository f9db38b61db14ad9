"""Positions in the WAL: where the primary is, how far the replica has replayed, and holding the replay back."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from pytest_pgmigrate.errors import EngineError, ReplicaTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_pgmigrate.engines.sessions import Session

FIRST_PAUSE = 0.0002
LONGEST_PAUSE = 0.02

_POSITIONS = "SELECT pg_current_wal_flush_lsn()::text, pg_current_wal_insert_lsn() <= pg_current_wal_flush_lsn()"
# A committed message costs one small record and makes everything before it durable.
_FLUSH = "SELECT pg_logical_emit_message(true, 'pgmigrate', '')"


def flushed_position(primary: Session) -> str:
    """A position that covers everything written so far and is flushed, so that the replica can reach it.

    Only flushed WAL is sent to a standby, and a rolled-back transaction flushes nothing: its locks would arrive 200 ms
    later, with the WAL writer's next round. Nor is the insert position itself safe to wait for: at a page boundary it
    stands behind the header of a page that nobody has written yet, and no standby ever reaches that
    (https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP).
    """
    position, flushed = primary.rows(_POSITIONS)[0]
    if not flushed:
        primary.rows(_FLUSH)
        position = primary.rows(_POSITIONS)[0][0]
    return str(position)


def wait_for_replay(primary: Session, replica: Session, position: str, timeout: float) -> float:
    """Wait until the replica has replayed ``position``; returns the seconds waited.

    Raises ReplicaTimeout, saying what replay is waiting for.
    """
    started = time.monotonic()
    pause = FIRST_PAUSE
    while not replica.value("SELECT coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)", (position,)):
        waited = time.monotonic() - started
        if waited >= timeout:
            raise ReplicaTimeout(
                f"the replica has not replayed {position} after {waited:.1f} s: {_diagnosis(primary, replica)}"
            )
        time.sleep(min(pause, max(timeout - waited, 0.0)))
        pause = min(pause * 1.5, LONGEST_PAUSE)
    return time.monotonic() - started


def _diagnosis(primary: Session, replica: Session) -> str:
    """What a person would look up next; it must not hide the time-out by failing itself."""
    try:
        receive, replay, paused = replica.rows(
            "SELECT pg_last_wal_receive_lsn()::text, pg_last_wal_replay_lsn()::text, pg_get_wal_replay_pause_state()"
        )[0]
        states = [str(row[0]) for row in primary.rows("SELECT state FROM pg_stat_replication")]
    except (EngineError, psycopg.Error) as error:
        return f"its state cannot be read ({' '.join(str(error).split())})"
    if paused != "not paused":
        return f"replay is {paused} at {replay}"
    if not states:
        return f"the primary has no walsender, the replica is not connected (received {receive}, replayed {replay})"
    return f"walsender {', '.join(states)}; received {receive}, replayed {replay}"


@contextmanager
def replay_paused(replica: Session) -> Iterator[None]:
    """Hold replay for the duration of the block (pg_wal_replay_pause); resumed whatever happens inside."""
    replica.rows("SELECT pg_wal_replay_pause()")
    try:
        deadline = time.monotonic() + 10
        # The request is granted by the startup process only when it next looks.
        while replica.value("SELECT pg_get_wal_replay_pause_state()") != "paused":
            if time.monotonic() > deadline:
                raise EngineError("the replica did not pause replay within 10 s of pg_wal_replay_pause()")
            time.sleep(0.001)
        yield
    finally:
        replica.rows("SELECT pg_wal_replay_resume()")
