"""What was seen of a watched step's statements as plain JSON values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_pgmigrate.model.evidence import Step
from pytest_pgmigrate.model.watch import Blocked, Lock, Scaled, StatementSeen

_END = {"": "end of the transaction", "wal": "before anyone could look", "documented": "end of the statement"}


def statement_entries(step: Step, scaled: Iterable[Scaled] = ()) -> list[dict[str, Any]]:
    """Every statement of a step: with all that was seen of it where the step was watched.

    ``scaled`` are the counters of the same step at two data sizes.
    """
    if not step.watched:
        return [
            {"line": run.statement.place.line, "kind": run.statement.kind, "seconds": round(run.seconds, 4)}
            for run in step.statements
        ]
    lines = {seen.index: seen.statement.place.line for seen in step.watched}
    entries = [_entry(seen, lines) for seen in step.watched]
    for item in scaled:
        growth = {"rows": list(item.rows), "read": list(item.read), "class": "O(n)" if item.grows else "O(1)"}
        entries[item.index]["growth"][item.relation] = growth
    return entries


def _entry(seen: StatementSeen, lines: dict[int, int]) -> dict[str, Any]:
    return {
        "line": seen.statement.place.line,
        "kind": seen.statement.kind,
        "text": " ".join(seen.statement.text.split())[:200],
        "seconds": round(seen.seconds, 4),
        "failed": seen.failed,
        "transaction": seen.transaction,
        "internal_commits": seen.stops,
        "locks": [_lock(lock, seen, lines) for lock in seen.held],
        "rows": [
            {
                "relation": count.relation.name,
                "new": count.relation.new,
                "read": count.read,
                "inserted": count.inserted,
                "updated": count.updated,
                "deleted": count.deleted,
            }
            for count in seen.counts
        ],
        "rewritten": _names(seen.rewritten),
        "rebuilt": _names(seen.rebuilt),
        "emptied": _names(seen.emptied),
        "built": _names(seen.built),
        "growth": {},
        "wal_bytes": seen.wal_bytes,
        "settings": dict(seen.settings),
        "blocked": [_blocked(item) for item in seen.blocked],
    }


def _lock(lock: Lock, seen: StatementSeen, lines: dict[int, int]) -> dict[str, Any]:
    released = f"internal commit {lock.stop}" if lock.stop else _END.get(lock.source, _END[""])
    return {
        "relation": lock.relation.name,
        "kind": lock.relation.kind,
        "table": lock.relation.table,
        "mode": lock.mode.pg,
        "since_line": lines.get(lock.since, seen.statement.place.line),
        "source": lock.source,
        "released": released,
    }


def _names(relations: Iterable[Any]) -> list[str]:
    return [relation.name for relation in relations]


def _blocked(item: Blocked) -> dict[str, Any]:
    return {
        "statement": item.label,
        "sql": item.sql,
        "file": item.file,
        "waits_for": item.relation.name,
        "wants": item.wants.pg,
        "held": item.held.pg,
        "tried": item.tried,
    }
