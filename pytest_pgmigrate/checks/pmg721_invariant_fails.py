"""An invariant whose SQL does not run."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.invariants import FailedInvariant, VerifyEvidence
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG721", "invariant-fails", part=Part.DATA, severity=Severity.ERROR)
def invariant_fails(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The SQL of an invariant is refused by the server.

    Why it matters:
    A query that does not run verifies nothing, and what it was meant to guard is unguarded.

    How it is measured:
    It is run, read only, at the version from which on it holds, and at every later one. One that ran at the version
    before, and reads a table or column that this migration drops or renames, ends there: information. A file that says
    no version is expected to run at the last version at the latest.

    How to fix:
    Correct the query at the place that is named; or say from and until which version it holds.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    seen = evidence.drilled(VerifyEvidence)
    told = set()
    for failed in seen.failed if seen is not None else ():
        if failed.invariant not in told:
            told.add(failed.invariant)
            yield _ended(failed, evidence) if failed.ended else _fails(failed)


def _fails(failed: FailedInvariant) -> Observation:
    return Observation(
        place=failed.place,
        message=f"{failed.invariant.label} cannot be run {failed.step}: {failed.message}",
        effect="it verifies nothing: what it guards is unguarded",
        fix=_fix(failed),
        observed={"sqlstate": failed.sqlstate, "message": failed.message, "step": failed.step},
    )


def _fix(failed: FailedInvariant) -> str:
    if failed.sqlstate == "25006":
        return "an invariant only reads: take out what writes"
    if failed.step.startswith("on the replica"):
        return "ask only for what a replica has: it runs on the primary; a replica has no rows of unlogged tables"
    return (
        "correct the query, or say from which version on it holds: a name such as 000012_name.sql, or a first line "
        "-- from 000012"
    )


def _ended(failed: FailedInvariant, evidence: MigrationEvidence) -> Observation:
    return Observation(
        place=failed.place,
        message=f"{failed.invariant.label} ends with {evidence.migration.key}: {failed.message}",
        effect="it is not asked from this version on",
        fix="where it still matters, write it anew in the new names, with a verify directive in this migration",
        observed={"sqlstate": failed.sqlstate, "message": failed.message, "step": failed.step},
        severity=Severity.INFO,
    )
