"""Really trying what was predicted, while the migration's session stands still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.blocking.predict import Conflict, relation_of
from pytest_pgmigrate.execution.blocking.sequences import Sequences
from pytest_pgmigrate.model.locks import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_pgmigrate.execution.blocking.prober import Outcome, Prober
    from pytest_pgmigrate.execution.blocking.record import Recorded
    from pytest_pgmigrate.model.watch import Relation

LOCK_TIMEOUT_MS = 1
"""Only waiting for a lock counts, and the lock that is waited for stays: no longer wait says more."""

CONFIRM_MS = 250
"""Before a prediction is contradicted: autovacuum may have been in the way for a moment."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How the tries ended: True waited, False ran through, None could not be told."""

    results: Mapping[Recorded, bool | None]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        prober: Prober,
        recorded: Sequence[Recorded],
        conflicts: Mapping[Recorded, Conflict],
        locked: Mapping[int, Mode],
    ) -> Trial:
        """Run each statement, undone. Raises psycopg.Error when there is no connection."""
        sendable = [one for one in recorded if one.statement.runs]
        # A sequence that is locked against nextval() cannot move, and perhaps not be read either.
        movable = {oid for one in sendable for oid in one.sequences if not _shut(locked.get(oid))}
        before = Sequences(prober.connection, movable) if movable else None
        outcomes = dict(zip(sendable, _run(prober, sendable, LOCK_TIMEOUT_MS), strict=True))
        doubtful = [one for one in sendable if outcomes[one].blocked and one not in conflicts]
        outcomes.update(zip(doubtful, _run(prober, doubtful, CONFIRM_MS), strict=True))
        if before is not None:
            before.restore(prober.connection)
        results = {one: _verdict(outcomes.get(one), conflicts.get(one)) for one in recorded}
        # Of statements of ours the prediction stands and says so itself; the user's were given to be tried.
        own = [one for one in recorded if one.statement.file]
        notes = [_note(one, outcomes.get(one)) for one in own if one in conflicts and results.get(one, False) is None]
        notes += [
            _row_note(one) for one in own if one in outcomes and outcomes[one].waited_for_row and one not in conflicts
        ]
        return cls(results, tuple(notes))

    def tried(self, recorded: Recorded) -> bool | None:
        """The result for one statement; None too when it was not among those tried."""
        return self.results.get(recorded)

    def unforeseen(
        self, recorded: Recorded, locked: Mapping[int, Mode], names: Mapping[int, Relation]
    ) -> Conflict | None:
        """For a statement that waited against the prediction: the strongest lock, the likely cause."""
        if not self.tried(recorded):
            return None
        footprint = recorded.footprint.locks
        oid = max(locked, key=lambda oid: (locked[oid], oid in footprint, -oid))
        wants = list(footprint.get(oid, ())) or [min(m for m in type(locked[oid]) if locked[oid].conflicts(m))]
        return Conflict(relation_of(oid, names), max(wants), locked[oid], by_rule=True)


def _shut(held: Mode | None) -> bool:
    return held is not None and held.conflicts(Mode.ROW_EXCLUSIVE)


def _run(prober: Prober, recorded: Sequence[Recorded], timeout: int) -> list[Outcome]:
    return prober.try_each([one.statement.sent for one in recorded], lock_timeout_ms=timeout) if recorded else []


def _verdict(outcome: Outcome | None, conflict: Conflict | None) -> bool | None:
    if outcome is None or outcome.waited_for_row:
        return None
    if outcome.blocked:
        return True
    if not outcome.ran:
        return None
    # Nothing was written, so nothing could show that the derived lock is really asked for.
    return None if conflict is not None and (conflict.by_rule or outcome.rows == 0) else False


def _note(recorded: Recorded, outcome: Outcome | None) -> str:
    label = recorded.statement.label
    if outcome is None:
        return f"{label} was predicted to wait, not tried"
    if outcome.waited_for_row:
        return f"{label} was predicted to wait; tried, it waited for a row that the migration wrote"
    if not outcome.ran:
        return f"{label} was predicted to wait; tried, it failed for another reason: {outcome.message}"
    return f"{label} was predicted to wait; tried, it found no row with which to show it"


def _row_note(recorded: Recorded) -> str:
    return (
        f"{recorded.statement.label} waited for a row that the migration wrote: only locks on relations are judged here"
    )
