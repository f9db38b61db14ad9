"""An up that refuses a second run."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import error_facts
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG204", "rerun-refused", part=Part.RERUN, severity=Severity.INFO, strict=Severity.ERROR)
def rerun_refused(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The up, run again without a down, was refused and changed nothing.

    Why it matters:
    Fine where the tool keeps a ledger and never runs a version twice, as nearly all do. A team that retries files
    by hand wants them to be no-ops instead.

    How it is measured:
    The same file is sent once more after up, down and up; it fails and the state is unchanged.

    How to fix:
    Use IF NOT EXISTS, ON CONFLICT DO NOTHING or a condition, if a second run shall succeed. Beware that IF NOT
    EXISTS also accepts another object of the same name.

    When to ignore:
    Always fine unless --pgmigrate-strict is wanted.

    References:
    https://www.postgresql.org/docs/current/sql-begin.html
    """
    step = evidence.rerun
    if step is None or step.error is None or step.difference:
        return
    yield Observation(
        place=step.error.place,
        message=f"a second run of the up is refused and changes nothing: {step.error.message}",
        effect="none while the tool keeps a ledger; a retry by hand stops here",
        fix="nothing to do, or make the statement conditional (IF NOT EXISTS) if a second run shall pass",
        observed=error_facts(step.error),
    )
