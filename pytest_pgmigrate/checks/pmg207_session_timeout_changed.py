"""A time-out that outlives its script."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import top
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG207", "session-timeout-changed", part=Part.APPLY, severity=Severity.INFO)
def session_timeout_changed(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A script leaves another lock_timeout or statement_timeout in its session.

    Why it matters:
    Setting time-outs is good practice; left with SET instead of SET LOCAL they also hold for the next file, which
    may be meant or not.

    How it is measured:
    Read in the script's own session after its last statement.

    How to fix:
    Use SET LOCAL where the time-out is meant for this migration alone.

    When to ignore:
    When it is meant to last.

    References:
    https://www.postgresql.org/docs/current/runtime-config-client.html
    """
    for step, script in ((evidence.up, evidence.migration.up), (evidence.down, evidence.migration.down)):
        if step is None or script is None or step.error is not None:
            continue
        for leak in step.leaks:
            if leak.name.endswith("_timeout"):
                statement = next((s for s in script.statements if leak.name in s.text.lower()), None)
                yield Observation(
                    place=statement.place if statement else top(script),
                    message=f"after the {step.direction.value}, {leak.name} is {leak.found}, was {leak.expected}",
                    effect="the next migration on this connection runs with this time-out",
                    fix=f"write SET LOCAL {leak.name} if it is meant for this migration alone",
                    observed={"name": leak.name, "expected": leak.expected, "found": leak.found},
                )
