"""What the replica did, as plain JSON values."""

from __future__ import annotations

from typing import Any

from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.replica import Guard, LagGuards, ReaderSeen, ReplicaReader


def replica_entry(evidence: MigrationEvidence) -> dict[str, Any]:
    """WAL of the up, and what the drills on the replica saw as far as they ran."""
    watched = evidence.up.watched if evidence.up is not None else ()
    entry: dict[str, Any] = {
        "wal_bytes": sum(seen.wal_bytes for seen in watched),
        "unlogged": [table.name for table in evidence.replica.unlogged],
    }
    seen = evidence.drilled(ReplicaReader)
    if seen is not None:
        entry["locks"] = [
            {
                "line": locks.statement.place.line,
                "relations": list(locks.relations),
                "blocked": list(locks.blocked),
                "until": "end of the transaction" if locks.held else "internal commit",
            }
            for locks in seen.locks
        ]
        entry["readers"] = [_reader(reader) for reader in seen.readers]
        if seen.matrix:
            entry["matrix"] = [_reader(reader) for reader in seen.matrix]
        if seen.replay is not None:
            entry["replay"] = {"wal_bytes": seen.replay.wal_bytes, "seconds": round(seen.replay.seconds, 4)}
    guards = evidence.drilled(LagGuards)
    if guards is not None:
        entry["lag_guards"] = [_guard(guard) for guard in guards.guards]
    return entry


def _reader(reader: ReaderSeen) -> dict[str, Any]:
    return {
        "table": reader.table,
        "line": reader.statement.place.line if reader.statement is not None else None,
        "outcome": reader.outcome,
        "sqlstate": reader.sqlstate,
        "max_standby_streaming_delay": reader.delay,
        "hot_standby_feedback": reader.feedback,
    }


def _guard(guard: Guard) -> dict[str, Any]:
    return {
        "line": guard.statement.place.line,
        "function": guard.function,
        "reads": list(guard.source),
        "trials": [
            {"how": t.how, "stopped": t.stopped, "message": t.message, "seconds": t.seconds} for t in guard.trials
        ],
    }
