"""What a run looks for among what earlier runs kept, and keeps itself: the state before the first judged migration."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pytest_pgmigrate.execution import predecessors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_pgmigrate.execution.examination import Examination
    from pytest_pgmigrate.histories import HistoryRun
    from pytest_pgmigrate.model.cluster import Keeps, Seeder
    from pytest_pgmigrate.model.migration import Migration
    from pytest_pgmigrate.options import Settings


def first_judged(runs: Sequence[HistoryRun]) -> tuple[HistoryRun, Migration] | None:
    """The only history and the first migration judged in it, when others come before that one.

    Several histories share one server, of which a copy would hold what the others did to it.
    """
    if len(runs) != 1:
        return None
    first = next((m for m in runs[0].history.migrations if m.key in runs[0].wanted), None)
    return (runs[0], first) if first is not None and first.index > 0 else None


def content(runs: Sequence[HistoryRun], settings: Settings, seeder: Seeder | None, *, own: bool) -> str:
    """A digest of the state before that migration; "" when it is neither looked for nor kept.

    Of a seeder that is not our ``own`` and does not say what its rows follow from, nothing is known.
    """
    found = first_judged(runs)
    # After a loss the servers are started again, for a history that is already on its way.
    if found is None or found[0].position > 0:
        return ""
    history, before = found[0].history, found[0].history.migrations[: found[1].index]
    fingerprint = _fingerprint(seeder, own=own)
    if fingerprint is None or not all(migration.sendable for migration in before):
        return ""
    coming = history.migrations[found[1].index :]
    return predecessors.content(before, history.format, settings, fingerprint, coming=coming)


def _fingerprint(seeder: Seeder | None, *, own: bool) -> str | None:
    """What the seeder says its rows follow from; None where a seeder that is not ours does not say so itself."""
    if own:
        return str(getattr(seeder, "fingerprint", ""))
    # What a class of theirs inherits from ours knows nothing of what it changes.
    theirs = [kind for kind in type(seeder).__mro__ if not kind.__module__.startswith("pytest_pgmigrate.")]
    said = any("fingerprint" in vars(kind) for kind in theirs) or "fingerprint" in getattr(seeder, "__dict__", {})
    return str(getattr(seeder, "fingerprint", "")) if said else None


def keep(run: HistoryRun, first: Migration, examination: Examination, state: predecessors.Settled) -> None:
    """Keep the state before ``first`` for later runs, where the engine can and every earlier migration was applied."""
    seen = [run.evidence.get(earlier.key) for earlier in run.history.migrations[: first.index]]
    if examination.seed_notes():
        return  # they would not be said again by a run that starts from what is kept
    if "keeps" in examination.cluster.capabilities and all(e is not None and e.status == "applied" for e in seen):
        cluster = cast("Keeps", examination.cluster)
        cluster.remember(examination.space.work.name, predecessors.facts(state))
