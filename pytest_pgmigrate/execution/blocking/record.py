"""Lock footprints: every statement is run once in a transaction that is undone, and its own locks are read before that.

https://www.postgresql.org/docs/current/view-pg-locks.html
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.blocking.prober import STATEMENT_TIMEOUT_MS, Outcome, Prober
from pytest_pgmigrate.execution.blocking.statements import AppStatement, Footprint
from pytest_pgmigrate.model.locks import Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

# Nobody else works here: only autovacuum may be in the way for a moment.
LOCK_TIMEOUT_MS = 2000

# Catalogs are left out: they are locked weakly, and migrations do not lock them strongly.
_LOCKS = """SELECT relation || ' ' || mode FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation >= 16384"""


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A statement with what it locks; ``note`` says what went wrong."""

    statement: AppStatement
    footprint: Footprint
    note: str = ""
    sequences: frozenset[int] = frozenset()
    """Those it may draw from."""

    plan: str = ""
    """What EXPLAIN showed of a user's query."""


def record(prober: Prober, statements: Sequence[AppStatement]) -> list[Recorded]:
    """Run each statement once. One that fails is planned instead: that takes its locks but for those of foreign keys."""
    sent = [statement for statement in statements if statement.runs]
    outcomes = dict(zip(sent, _run(prober, [s.sent for s in sent]), strict=True))
    # What a user's query file says is not ours to repair.
    failed = [s for s in sent if not outcomes[s].ran and not s.file]
    planned = dict(zip(failed, _run(prober, [f"EXPLAIN {s.sql}" for s in failed]), strict=True))
    return [_recorded(s, outcomes.get(s), planned.get(s)) for s in statements]


def _run(prober: Prober, statements: list[str]) -> list[Outcome]:
    return prober.try_each(statements, lock_timeout_ms=LOCK_TIMEOUT_MS, then=_LOCKS) if statements else []


def _recorded(statement: AppStatement, outcome: Outcome | None, planned: Outcome | None) -> Recorded:
    if outcome is None:
        # The documented lock of reading a foreign table.
        return Recorded(
            statement,
            Footprint({statement.oid: frozenset({Mode.ACCESS_SHARE})}, frozenset({statement.oid})),
            f"{statement.label} was not tried: its rows are on another server",
        )
    seen = outcome if outcome.ran or planned is None else planned
    locks: dict[int, set[Mode]] = defaultdict(set)
    for row in seen.after:
        oid, mode = row.split(" ")
        locks[int(oid)].add(Mode.of(mode))
    footprint = Footprint({oid: frozenset(modes) for oid, modes in locks.items()})
    return Recorded(statement, footprint, _note(statement, outcome), plan=outcome.plan)


def _note(statement: AppStatement, outcome: Outcome) -> str:
    if outcome.ran:
        if outcome.rows == 0:
            return f"{statement.label} found no row to work on: what its foreign keys and triggers lock is derived, not seen"
        return ""
    reason = f"{outcome.message}{_line(statement, outcome)}"
    if outcome.sqlstate == "57014":
        reason = f"it ran longer than {STATEMENT_TIMEOUT_MS / 1000:g} s"
    if statement.file:
        return f"{statement.label} ({statement.file}) was left out: {reason}"
    return (
        f"{statement.label} could not be run ({reason}): what its foreign keys and triggers lock is derived, not seen"
    )


def _line(statement: AppStatement, outcome: Outcome) -> str:
    """Where in a user's file the server found the fault."""
    at = outcome.position - 1 - len(statement.prefix)
    return f", line {statement.sql.count(chr(10), 0, at) + 1}" if statement.file and at >= 0 else ""
