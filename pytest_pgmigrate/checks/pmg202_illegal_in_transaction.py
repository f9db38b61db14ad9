"""A statement that cannot run inside a transaction."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import error_details, error_facts, first_line, is_transaction_fault
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG202", "illegal-in-transaction", part=Part.APPLY, severity=Severity.ERROR)
def illegal_in_transaction(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A statement that PostgreSQL does not allow inside a transaction, or not in the same one.

    Why it matters:
    CREATE INDEX CONCURRENTLY, VACUUM and their kin commit by themselves and refuse to run between BEGIN and COMMIT;
    several statements sent together are a transaction even without BEGIN. A new enum value cannot be used by the
    transaction that adds it.

    How it is measured:
    The statement is run under the transaction rule of the user's tool; the server refuses it with SQLSTATE 25001,
    25P01 or 55P04.

    How to fix:
    Put the statement into a migration file of its own with -- pgmigrate: no-transaction <reason> (golang-migrate: a
    file with this one statement), and drop an invalid leftover first.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    """
    step = evidence.up
    if evidence.status != "failed" or step is None or step.error is None or not is_transaction_fault(step.error):
        return
    error = step.error
    statement = first_line(error.statement.text) if error.statement else "the statement"
    if error.sqlstate == "55P04":
        fix = "add the enum value in a migration of its own, before the one that uses it"
    else:
        fix = f"move it into a file of its own that starts with -- pgmigrate: no-transaction <reason>: {statement}"
    yield Observation(
        place=error.statement.place if error.statement else error.place,
        message=f"{error.message} (SQLSTATE {error.sqlstate})",
        effect="the deploy stops here every time, on every database; nothing of the file is applied",
        fix=fix,
        observed=error_facts(error),
        details=error_details(error),
    )
