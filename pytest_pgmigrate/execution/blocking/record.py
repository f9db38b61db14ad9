"""Lock footprints: every statement is run once in a transaction that is undone, and its own locks are read before that.

https://www.postgresql.org/docs/current/view-pg-locks.html
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.blocking.prober import STATEMENT_TIMEOUT_MS, Outcome, Prober
from pytest_pgmigrate.execution.blocking.statements import AppStatement, Footprint
from pytest_pgmigrate.model.locks import Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

# Nobody else works here: only autovacuum may be in the way for a moment.
LOCK_TIMEOUT_MS = 200

# Catalogs are left out: they are locked weakly, and migrations do not lock them strongly.
_LOCKS = """SELECT relation || ' ' || mode FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation >= 16384"""


_PLAN = "EXPLAIN "
_PASSING = ("08", "40", "42", "55")
"""Classes of SQLSTATEs that may be gone the next time: lost sessions, deadlocks, what is not there (yet), locks."""


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A statement with what it locks; ``note`` says what went wrong."""

    statement: AppStatement
    """As it is to be tried: planned only, when it could not be run."""

    footprint: Footprint
    note: str = ""
    sequences: frozenset[int] = frozenset()
    """Those it may draw from."""

    plan: str = ""
    """What EXPLAIN showed of a user's query."""

    again: bool = False
    """It may run the next time."""


def record(prober: Prober, statements: Sequence[AppStatement]) -> list[Recorded]:
    """Run each statement once, in the order given.

    One that fails is planned instead: that takes its locks, but for those of foreign keys and triggers.
    """
    sent = [statement for statement in statements if statement.runs]
    outcomes = dict(zip(sent, _run(prober, [s.sent for s in sent]), strict=True))
    failed = [s for s in sent if not outcomes[s].ran and not outcomes[s].blocked]
    planned = dict(zip(failed, _run(prober, [(_PLAN + s.sql, 0) for s in failed]), strict=True))
    return [_recorded(s, outcomes.get(s), planned.get(s)) for s in statements]


def _run(prober: Prober, statements: list[tuple[str, int]]) -> list[Outcome]:
    return prober.try_each(statements, lock_timeout_ms=LOCK_TIMEOUT_MS, then=_LOCKS) if statements else []


def _recorded(statement: AppStatement, outcome: Outcome | None, planned: Outcome | None) -> Recorded:
    if outcome is None:
        # The documented lock of reading a foreign table.
        footprint = Footprint({statement.oid: frozenset({Mode.ACCESS_SHARE})}, frozenset({statement.oid}))
        return Recorded(statement, footprint, f"{statement.label} was not tried: its rows are on another server")
    if outcome.ran:
        return Recorded(statement, _footprint(outcome), plan=outcome.plan)
    again = outcome.sqlstate[:2] in _PASSING
    if planned is not None and planned.ran:
        # Of a statement of ours the rest is derived by rule; of the user's nobody knows what its triggers would do.
        known = "; what its foreign keys and triggers lock is not known"
        note = f"{_called(statement)} could be planned, not run{known}: {_reason(statement, outcome)}"
        note = note if statement.file else ""
        return Recorded(replace(statement, prefix=_PLAN, parameters=0), _footprint(planned), note, again=again)
    note = f"{_called(statement)} was left out: {_reason(statement, outcome)}"
    return Recorded(replace(statement, runs=False), Footprint(), note, again=again)


def _footprint(outcome: Outcome) -> Footprint:
    locks: dict[int, set[Mode]] = defaultdict(set)
    for row in outcome.after:
        oid, mode = row.split(" ")
        locks[int(oid)].add(Mode.of(mode))
    return Footprint({oid: frozenset(modes) for oid, modes in locks.items()})


def _called(statement: AppStatement) -> str:
    return f"{statement.label} ({statement.file})" if statement.file else statement.label


def _reason(statement: AppStatement, outcome: Outcome) -> str:
    if outcome.sqlstate == "57014":
        return f"it ran longer than {STATEMENT_TIMEOUT_MS / 1000:g} s"
    at = outcome.position - 1 - len(statement.prefix)
    line = f", line {statement.sql.count(chr(10), 0, at) + 1}" if statement.file and at >= 0 else ""
    return f"{outcome.message}{line}"
