"""What a run came to, history by history: findings, what was not judged, and the entries of the report."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.checks import _judge as judge
from pytest_pgmigrate.model.finding import Finding, NotJudged, Part
from pytest_pgmigrate.reports._document import history_entry

if TYPE_CHECKING:
    from pytest_pgmigrate.histories import HistoryRun
    from pytest_pgmigrate.model.cluster import Cluster, SeedReport
    from pytest_pgmigrate.model.evidence import MigrationEvidence
    from pytest_pgmigrate.options import Settings


def not_judged(histories: Sequence[HistoryRun], cluster: Cluster | None) -> tuple[NotJudged, ...]:
    """Everything that could not be looked at."""
    found = list(judge.unusable_queries(evidence(histories)))
    for run in histories:
        if run.history.record.source == "none":
            reason = run.history.record.detail or "neither a ledger nor a git merge-base to compare with"
            found.append(NotJudged(f"{run.history.folder}: {judge.without_record(run.history)}", reason))
        for key in run.wanted:
            if key in run.evidence:
                found += judge.not_judged(run.evidence[key])
        found += [
            NotJudged("examination", why.splitlines()[0], key) for key, why in run.lost.items() if key in run.wanted
        ]
        unfilled = run.examination.unfilled() if run.examination is not None else run.unfilled
        found += [NotJudged(f"table {r.table}", _unfilled(r)) for r in unfilled]
        found += [NotJudged("seeding", note) for note in run.seed_notes]
    found += [NotJudged("seeding", f"{name}, {where}") for name, where in _unknown_names(histories)]
    if cluster is not None:
        found += [NotJudged("server", note) for note in cluster.notes]
    return tuple(found)


def _unknown_names(histories: Sequence[HistoryRun]) -> Iterator[tuple[str, str]]:
    """Names given for seeding that no database had. A file for several histories may mean any of them."""
    seen = [run.evidence.get(m.key) for run in histories for m in run.history.migrations]
    whole = all(one is not None and one.status == "examined" for one in seen)
    where = f"which no version {'of the history' if whole else 'filled in this run'} has"
    by_file: dict[str, list[set[str]]] = {}
    for run in histories:
        if run.wanted_rows is not None and run.wanted_rows.fingerprint:
            # One that was not run here may be the one that is meant: it has nothing to say against any name.
            said: tuple[str, ...] = getattr(run.seeder, "unknown", tuple)()
            by_file.setdefault(run.wanted_rows.rules.file, []).append(set(said))
    for found in by_file.values():
        for name in sorted(set.intersection(*found)):
            yield name, "which the history does not have" if " names version " in name else where


def entries(histories: Sequence[HistoryRun]) -> list[dict[str, Any]]:
    """The judged migrations as the report has them."""
    found = []
    for run in histories:
        outcomes: dict[str, dict[str, str]] = {}
        for (key, part), verdict in run.verdicts.items():
            outcomes.setdefault(key, {})[part.value] = verdict.outcome
        found += [
            history_entry(run.history.folder, m, outcomes.get(m.key, {}), run.evidence.get(m.key))
            for m in run.history.migrations
            if m.key in run.wanted
        ]
    return found


def evidence(histories: Sequence[HistoryRun]) -> Iterator[MigrationEvidence]:
    """What was seen of the migrations that are judged."""
    return (seen for run in histories for key, seen in run.evidence.items() if key in run.wanted)


def findings(histories: Sequence[HistoryRun], parts: Collection[Part]) -> tuple[Finding, ...]:
    """All findings about what was judged, in history order, silenced ones included.

    ``parts`` are those that can fail: information of the others is told whether its part was an item of the run or not.
    """
    found: list[Finding] = []
    for run in histories:
        keys = {m.key for m in run.history.migrations}
        about = {key for key, part in run.verdicts if part is Part.HISTORY}
        found += [f for f in run.findings if f.migration in about or f.migration not in keys]
        for migration in run.history.migrations:
            if migration.key in run.wanted:
                judged = run.judged.get(migration.key, ())
                found += [f for f in judged if (f.migration, f.part) in run.verdicts or f.part not in parts]
    return tuple(found)


def pools_version(settings: Settings) -> str | None:
    """The version of Faker, whose words the rows are made of; None when nothing is filled."""
    if settings.rows == 0:
        return None
    from pytest_pgmigrate.execution import predecessors

    return predecessors.pools_version()


def _unfilled(report: SeedReport) -> str:
    """Why a table has fewer rows than asked for: its reason, where that began, what to paste."""
    said = [f"{report.filled} of {report.asked} rows: {report.reason}", report.cause, report.stub]
    return "; ".join(part for part in said if part)
