"""A migration declared irreversible."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import is_refusal
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG409", "declared-irreversible", part=Part.ROLLBACK, severity=Severity.INFO)
def declared_irreversible(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The migration says that there is no way back, and why.

    Why it matters:
    Some steps destroy data by design. Saying so, with the reason, is what keeps the report honest; a down that
    refuses by raising an exception says it too, but without a reason that a reviewer sees in the up.

    How it is measured:
    From the irreversible directive and what it covers: a missing or empty down, lost values, leftovers; or from a
    down that ends with RAISE EXCEPTION.

    How to fix:
    Nothing. For a down that raises: write -- pgmigrate: irreversible <reason> instead.

    When to ignore:
    Nothing to ignore.

    References:
    https://www.postgresql.org/docs/current/plpgsql-errors-and-messages.html
    """
    for directive in evidence.migration.irreversible():
        what = f" for {', '.join(directive.args)}" if directive.args else ""
        yield Observation(
            place=directive.place,
            message=f"declared irreversible{what}: {directive.reason}",
            effect="a rollback does not bring this back",
            fix="nothing to do; the reason is part of every report",
            observed={"reason": directive.reason, "names": list(directive.args)},
        )
    step = evidence.down
    if step is not None and step.error is not None and is_refusal(step.error) and not evidence.migration.irreversible():
        yield Observation(
            place=step.error.place,
            message=f"the down refuses by itself: {step.error.message}",
            effect="a release with this migration cannot be rolled back, and nothing in the up says so",
            fix="write -- pgmigrate: irreversible <reason> into the up, and leave the down out",
            observed={"sqlstate": step.error.sqlstate},
            severity=Severity.WARNING,
        )
