"""A second up that fails."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import error_details, error_facts
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG407", "second-up-fails", part=Part.REAPPLY, severity=Severity.ERROR)
def second_up_fails(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The up fails after up and down, though the down seemed to restore everything.

    Why it matters:
    After a rollback the release cannot be deployed again.

    How it is measured:
    Up, down and up are run in a row; the first two succeeded and left no difference that was found.

    How to fix:
    Let the down remove what the second up collides with.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    step = evidence.again
    if step is None or step.error is None or step.name == "up on leftovers":
        return
    error = step.error
    yield Observation(
        place=error.place,
        message=f"the second up fails: {error.message}" + (f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""),
        effect="after one rollback this release cannot be deployed again",
        fix=error.hint or "let the down remove what the second up collides with",
        observed=error_facts(error),
        details=error_details(error),
    )
