"""An up that fails."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import error_details, error_facts, is_transaction_fault
from pytest_pgmigrate.model.evidence import MigrationEvidence, ServerError
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _advice(error: ServerError) -> str:
    about = {
        "42601": "correct the SQL at this place; PostgreSQL's grammar differs from MySQL's and SQLite's "
        "(UPDATE and DELETE take no LIMIT or ORDER BY: pick the keys in a sub-select)",
        "23505": "remove or merge the duplicates in an earlier migration, then add the constraint",
        "23502": "fill the NULLs in an earlier migration, or give the column a default",
        "23514": "correct the rows that break the condition first, or add the constraint NOT VALID and validate it later",
        "23503": "remove or repair the rows without a partner first, or add the key NOT VALID and validate it later",
        "55P03": "another session held the lock longer than lock_timeout",
        "57014": "the statement ran into statement_timeout (--pgmigrate-statement-timeout)",
    }
    return about.get(error.sqlstate, error.hint or "correct the statement at this place")


@check("PMG201", "up-fails", part=Part.APPLY, severity=Severity.ERROR)
def up_fails(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The up ends with an error.

    Why it matters:
    The deploy stops at this migration, and with a tool that marks versions dirty somebody has to clean up by hand
    first.

    How it is measured:
    The up is run on a real server over a database at the version before, filled with fake rows; the place is the
    server's own error position.

    How to fix:
    Correct the statement that the finding points at; the server's detail and hint are shown with it.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    step = evidence.up
    if evidence.status != "failed" or step is None or step.error is None:
        return
    error = step.error
    if evidence.missing_extension or is_transaction_fault(error):
        return
    yield Observation(
        place=error.place,
        message=f"the up fails: {error.message}" + (f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""),
        effect="the deploy stops here; this version and everything after it is not applied",
        fix=_advice(error),
        observed=error_facts(error),
        details=error_details(error),
    )
