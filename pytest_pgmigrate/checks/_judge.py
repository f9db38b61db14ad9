"""Runs the checks over evidence, applies the user's directives, and says how each part came out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_pgmigrate.checks._common import CONTRACTION
from pytest_pgmigrate.model.compat import CompatEvidence
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Finding, NotJudged, Part, Severity
from pytest_pgmigrate.model.interrupt import InterruptEvidence
from pytest_pgmigrate.model.judgement import Judgement
from pytest_pgmigrate.model.migration import Directive, History, Script
from pytest_pgmigrate.model.replica import LagGuards, ReplicaReader
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Check, silence


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one part came out: ``passed``, ``failed`` or ``skipped`` with the reason."""

    outcome: str
    reason: str = ""
    findings: tuple[Finding, ...] = ()


def judge_history(checks: Iterable[Check], history: History, settings: Settings) -> tuple[Finding, ...]:
    """Findings of the history checks, silenced ones marked."""
    scripts = [s for m in history.migrations for s in (m.up, m.down) if s] + list(history.orphans)
    found = [f for c in checks if c.scope == "history" for f in c.judge(history, "", settings)]
    return tuple(_apply_directives(f, scripts) for f in found)


def judge_migration(
    checks: Sequence[Check],
    evidence: MigrationEvidence,
    settings: Settings,
    *,
    all_selected: bool,
    earlier: Iterable[Finding] = (),
    before: Sequence[Finding] = (),
) -> tuple[Finding, ...]:
    """Findings about one migration's evidence, silenced ones marked; the checks about directives come last.

    ``earlier`` are the findings of its history: a directive that silences one of them is used. ``before`` are those of
    the migrations before this one.
    """
    migration = evidence.migration
    scripts = [s for s in (migration.up, migration.down) if s]
    found = [f for c in checks if c.scope == "migration" for f in c.judge(evidence, migration.key, settings)]
    judged = tuple(_apply_directives(f, scripts) for f in found)
    judgement = Judgement(evidence, (*earlier, *judged), all_selected, tuple(before))
    last = [f for c in checks if c.scope == "judgement" for f in c.judge(judgement, migration.key, settings)]
    return (*judged, *(_apply_directives(f, scripts) for f in last))


def _apply_directives(finding: Finding, scripts: Iterable[Script]) -> Finding:
    for script in scripts:
        if script.file != finding.place.file:
            continue
        for directive in script.directives:
            if directive.word in ("ignore", "ignore-file") and _covers(directive, finding, script):
                return silence(finding, directive.reason)
            if directive.word == "contract" and finding.code in CONTRACTION:
                return silence(finding, directive.reason)
    return finding


def _covers(directive: Directive, finding: Finding, script: Script) -> bool:
    words = {arg.lower() for arg in directive.args}
    if not words & {finding.code.lower(), finding.slug}:
        return False
    if directive.word == "ignore-file" or directive.statement is None:
        return True
    statements = script.statements
    if directive.statement >= len(statements):
        return True
    statement = statements[directive.statement]
    first = statement.place.line
    last = first + statement.text.count("\n")
    # A finding about the file as a whole stands on its first line, above the first statement.
    whole_file = directive.statement == 0 and (finding.place.line, finding.place.column) == (1, 1)
    return whole_file or first <= finding.place.line <= last


def verdict(part: Part, evidence: MigrationEvidence | None, findings: Iterable[Finding]) -> Verdict:
    """How one part of one migration came out. ``findings`` are those of the part, silenced ones included."""
    mine = tuple(f for f in findings if f.part is part)
    loud = tuple(f for f in mine if f.ignored is None)
    if any(f.severity is Severity.ERROR for f in loud):
        return Verdict("failed", "", loud)
    reason = "" if evidence is None or part is Part.HISTORY else why_skipped(part, evidence)
    return Verdict("skipped", reason, loud) if reason else Verdict("passed", "", loud)


def why_skipped(part: Part, evidence: MigrationEvidence) -> str:
    """Why a part could not be judged, or "" when it was."""
    if evidence.status == "skipped":
        return evidence.reason
    if evidence.status == "not-judged":
        return f"not judged: {evidence.reason}"
    if evidence.status == "failed":
        if evidence.up is None:
            return f"not run: {evidence.reason}; see ::history"
        return "" if part is Part.APPLY else "not run: the up failed; see ::apply"
    return _PARTS[part](evidence) if part in _PARTS else ""


def _rollback(evidence: MigrationEvidence) -> str:
    down = evidence.migration.down
    declared = evidence.migration.irreversible()
    if down is None or (down.blank and evidence.down is None):
        if declared:
            return f"declared irreversible: {declared[0].reason}"
        return "there is no down; see ::history" if down is None else ""
    return "" if evidence.down is not None else "the down could not be sent; see ::history"


def _blank(evidence: MigrationEvidence) -> str:
    if not evidence.changed:
        return "the down is empty and the up changed nothing"
    return "the down is empty; see ::rollback"


def _reapply(evidence: MigrationEvidence) -> str:
    if evidence.again is None:
        return _rollback(evidence) or _blank(evidence)
    if evidence.again.name == "up on leftovers":
        return "the down left a difference, a second up says nothing of its own; see ::rollback"
    return ""


def _data(evidence: MigrationEvidence) -> str:
    # Where there is no way back by declaration, the up on other rows is all there is to judge.
    declared = bool(evidence.migration.irreversible()) and not evidence.edge.reason
    if evidence.down is None and not declared:
        return _rollback(evidence) or _blank(evidence)
    return ""


def _replica(evidence: MigrationEvidence) -> str:
    return "" if evidence.replica.ran else evidence.replica.reason


_PARTS = {Part.ROLLBACK: _rollback, Part.REAPPLY: _reapply, Part.DATA: _data, Part.REPLICA: _replica}


def not_judged(evidence: MigrationEvidence) -> tuple[NotJudged, ...]:
    """What of this migration could not be looked at, for the summary."""
    key = evidence.migration.key
    found = []
    if evidence.status in ("skipped", "not-judged"):
        found.append(NotJudged(evidence.migration.up.file, evidence.reason, key))
    if evidence.status == "examined":
        later = evidence.later
        if (not later.ran and evidence.down is not None and evidence.down.error is None) or (
            later.ran and later.reason
        ):
            found.append(NotJudged("rows written after the up", later.reason, key, Part.DATA.value))
        for step in (evidence.up, evidence.down):
            notes = dict.fromkeys(step.notes) if step is not None else ()
            found += [NotJudged("locks", note, key, Part.LOCKS.value) for note in notes]
        compat = evidence.drilled(CompatEvidence)
        found += [NotJudged("old release", note, key, Part.COMPAT.value) for note in (compat.notes if compat else ())]
        cut = evidence.drilled(InterruptEvidence)
        found += [NotJudged("interruption", note, key, Part.INTERRUPT.value) for note in (cut.notes if cut else ())]
        if not evidence.replica.ran:
            found.append(NotJudged("replica", evidence.replica.reason, key, Part.REPLICA.value))
        for seen in evidence.drills:
            if isinstance(seen, (ReplicaReader, LagGuards)):
                found += [NotJudged("replica", note, key, Part.REPLICA.value) for note in seen.notes]
    return tuple(found)


def without_record(history: History) -> str:
    """What cannot be judged of a history of which nobody knows what production has."""
    contractions = any(d.word == "contract" and d.args for m in history.migrations for d in m.up.directives)
    more = ", contractions beside what they need" if contractions else ""
    return f"edited and out-of-order migrations{more}"


def unusable_queries(evidence: Iterable[MigrationEvidence]) -> tuple[NotJudged, ...]:
    """Query files that worked before none of these migrations: once each, with the server's last words."""
    seen = [compat for one in evidence if (compat := one.drilled(CompatEvidence)) is not None]
    usable = {name for compat in seen for name in compat.usable}
    last = {one.name: one for compat in seen for one in compat.unusable if one.name not in usable}
    return tuple(
        NotJudged(
            f"{one.file}:{one.line}",
            f"the query does not work at the version before either: {one.message}",
            "",
            Part.COMPAT.value,
        )
        for one in last.values()
    )
