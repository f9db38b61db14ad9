"""A failed up that is not undone."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import listed
from pytest_pgmigrate.checks._rows import counts
from pytest_pgmigrate.checks._words import differs
from pytest_pgmigrate.model.evidence import MigrationEvidence, ServerError
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Place, Script
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _place(error: ServerError, script: Script) -> Place:
    """The COMMIT before the failure; without one the statement that failed alone."""
    commits = [s for s in script.statements if s.kind == "TXN COMMIT" and s.place.line <= error.place.line]
    if commits:
        return commits[-1].place
    return error.statement.place if error.statement else error.place


@check("PMG205", "partial-apply", part=Part.APPLY, severity=Severity.ERROR)
def partial_apply(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A failing up leaves part of its changes behind.

    Why it matters:
    The database is in a state that no version describes: the down does not fit, and running the up again collides
    with what is there.

    How it is measured:
    After the failure the state is compared with the one before the up.

    How to fix:
    Keep a migration in one transaction (no COMMIT of its own). Where that cannot be, give each statement its own
    file and make it repeatable.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/sql-begin.html
    """
    step = evidence.up
    if evidence.status not in ("failed", "skipped") or step is None or step.error is None or not step.difference:
        return
    difference = step.difference
    left = listed([*map(differs, (*difference.objects, *difference.roles)), *map(counts, difference.tables)])
    if not left:
        return
    yield Observation(
        place=_place(step.error, evidence.migration.up),
        message=f"the up fails here and leaves {len(difference.objects) + len(difference.tables)} changes behind: {left[0]}",
        effect="the database is between two versions: neither the down nor a second up fits it any more",
        fix="let the whole file be one transaction (remove its own COMMIT), or one statement per no-transaction file, "
        "each safe to run again",
        observed={"objects": [str(c.key) for c in difference.objects], "tables": [c.table for c in difference.tables]},
        details=left,
    )
