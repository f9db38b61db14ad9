"""The run as plain JSON values: what every report is made from. Its schema is docs/reference/json-report.schema.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_pgmigrate.model.evidence import MigrationEvidence, Step
from pytest_pgmigrate.model.finding import Finding, NotJudged
from pytest_pgmigrate.model.migration import Migration
from pytest_pgmigrate.model.watch import Scaled
from pytest_pgmigrate.reports._ignored import merge_ignored
from pytest_pgmigrate.reports._replica import replica_entry
from pytest_pgmigrate.reports._statements import statement_entries

SCHEMA_VERSION = 1
"""Rises when a field changes its meaning or goes; new fields do not raise it."""

TOOL = "pytest-pgmigrate"

Document = dict[str, Any]


def version() -> str:
    """The installed version of this package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(TOOL)
    except PackageNotFoundError:
        return "unknown"


def build(
    *,
    engine: str,
    postgresql: str,
    history: Iterable[Mapping[str, object]],
    findings: Iterable[Finding],
    not_judged: Iterable[NotJudged],
    timings: Mapping[str, float],
    seed: int,
    rows: int,
    faker: str | None = None,
    from_cache: tuple[str, str] | None = None,
    ignored_data: Iterable[Mapping[str, object]] = (),
) -> Document:
    """Assemble the document. Timings are seconds per room; they are information, never a verdict.

    ``faker``: the version whose words the rows are made of, None when none are; ``from_cache``: first and last version that
    were found applied and filled.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": TOOL,
        "version": version(),
        "engine": engine,
        "postgresql": postgresql,
        "seed": seed,
        "rows": rows,
        "seeding": {"seed": seed, "rows": rows, "faker": faker, "from_cache": list(from_cache) if from_cache else None},
        "history": [dict(entry) for entry in history],
        "findings": [finding_entry(finding) for finding in findings],
        "not_judged": [
            {"subject": n.subject, "reason": n.reason, "migration": n.migration, "part": n.part} for n in not_judged
        ],
        "ignored_data": [dict(entry) for entry in ignored_data],
        "timings": {room: round(seconds, 4) for room, seconds in timings.items()},
    }


def history_entry(
    folder: str, migration: Migration, parts: Mapping[str, str], evidence: MigrationEvidence | None
) -> dict[str, object]:
    """One migration: its parts' outcomes and what was timed and explained on the way."""
    entry: dict[str, object] = {
        "folder": folder,
        "version": migration.version,
        "name": migration.name,
        "file": migration.up.file,
        "parts": dict(parts),
    }
    if evidence is not None:
        steps = (evidence.up, evidence.down, evidence.again, evidence.rerun, evidence.later.up, evidence.later.down)
        entry["seconds"] = round(evidence.seconds, 4)
        entry["later_rows"] = evidence.later.written
        entry["replica_seconds"] = round(evidence.replica.seconds, 4)
        entry["replica"] = replica_entry(evidence)
        entry["steps"] = [
            _step(step, evidence.scaled if step is evidence.up else ())
            for step in steps
            if step is not None and step.ran
        ]
    return entry


def _step(step: Step, scaled: Iterable[Scaled]) -> dict[str, object]:
    return {
        "name": step.name,
        "seconds": round(step.seconds, 4),
        "error": step.error.message if step.error else None,
        "explained": list(step.explained),
        "statements": statement_entries(step, scaled),
    }


def finding_entry(finding: Finding) -> dict[str, object]:
    """One finding as JSON values."""
    return {
        "code": finding.code,
        "slug": finding.slug,
        "severity": finding.severity.value,
        "migration": finding.migration,
        "part": finding.part.value,
        "file": finding.place.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "message": finding.message,
        "observed": finding.observed,
        "effect": finding.effect,
        "fix": finding.fix,
        "details": list(finding.details),
        "ignored": finding.ignored,
    }


def merge(documents: Iterable[Document]) -> Document:
    """One document of several workers': outcomes and findings joined, timings added up."""
    merged: Document = {}
    for document in documents:
        if not merged:
            merged = {**document, "history": list(document["history"]), "timings": dict(document["timings"])}
            continue
        merged["engine"] = merged["engine"] or document["engine"]
        merged["postgresql"] = merged["postgresql"] or document["postgresql"]
        if merged["seeding"]["from_cache"] is None:
            merged["seeding"] = {**merged["seeding"], "from_cache": document["seeding"]["from_cache"]}
        merged["history"] = _merge_history(merged["history"], document["history"])
        merged["ignored_data"] = merge_ignored(merged["ignored_data"], document["ignored_data"])
        for key in ("findings", "not_judged"):
            merged[key] = merged[key] + [item for item in document[key] if item not in merged[key]]
        for room, seconds in document["timings"].items():
            merged["timings"][room] = round(merged["timings"].get(room, 0.0) + seconds, 4)
    return merged


def _merge_history(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> list[dict[str, Any]]:
    known = {entry["file"]: entry for entry in left}
    for entry in right:
        mine = known.get(entry["file"])
        if mine is None:
            known[entry["file"]] = entry
        else:
            known[entry["file"]] = {**entry, **mine, "parts": {**entry["parts"], **mine["parts"]}}
    return list(known.values())
