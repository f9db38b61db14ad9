"""Interruptions in words, and what was left after the run that followed."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import last_part, listed
from pytest_pgmigrate.checks._rows import counts
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.interrupt import Cut, InterruptEvidence
from pytest_pgmigrate.model.state import Difference, ObjectChange


def when(cut: Cut) -> str:
    """``after line 3`` — how the run was cut short, as the end of a sentence."""
    line = cut.statement.place.line
    if cut.how == "lock_timeout":
        return f"by lock_timeout at line {line}, behind an open writer of {cut.table.removeprefix('public.')}"
    at = f"at commit {cut.stop} of line {line}" if cut.stop else f"after line {line}"
    return f"by a crash of the server {at}" if cut.how == "crash" else at


def cuts(evidence: MigrationEvidence) -> Iterator[Cut]:
    """Interruptions after which something was left to do: the run after the others is a plain second run (PMG203, PMG204)."""
    seen = evidence.drilled(InterruptEvidence)
    return (cut for cut in (seen.cuts if seen is not None else ()) if not cut.whole)


def invalid(cut: Cut) -> Iterator[ObjectChange]:
    """Indexes that the clean run leaves valid and this one does not."""
    for change in cut.difference.objects:
        if change.key.kind == "index" and change.attribute == "valid" and change.new is False:
            yield change


def leftovers(cut: Cut) -> Iterator[ObjectChange]:
    """What is there after the second run and not after a clean one: ``_ccnew``, ``_ccold``, a pending detach."""
    for change in cut.difference.objects:
        pending = "detach pending" in str(change.new) and "detach pending" not in str(change.old)
        if change.change == "extra" or pending:
            yield change


def is_leftover_index(change: ObjectChange) -> bool:
    """What REINDEX CONCURRENTLY leaves behind."""
    return change.key.kind == "index" and "_cc" in last_part(change.key.name)


def describe_left(left: Difference) -> tuple[str, ...]:
    """What an interrupted run left of itself."""
    words = {"extra": "made", "missing": "removed", "changed": "changed"}
    lines = [f"the first run had {words[change.change]} {change.key}" for change in left.objects]
    return listed([*lines, *(f"the first run had written to {counts(change)}" for change in left.tables)])
