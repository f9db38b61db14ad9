"""A down that fails."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import (
    acknowledged,
    error_details,
    error_facts,
    is_refusal,
    last_part,
    listed,
    short,
)
from pytest_pgmigrate.checks._rows import counts
from pytest_pgmigrate.checks._words import describe
from pytest_pgmigrate.model.evidence import MigrationEvidence, ServerError
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Migration
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_QUOTED = re.compile(r'"([^"]+)"')


def _advice(error: ServerError, migration: Migration) -> str:
    about = {
        "42601": "correct the SQL at this place",
        "2BP01": "drop the dependent objects first, in the reverse order of their creation",
        "42P01": "drop what the up makes, under the name it has after the up",
        "42703": "name the column as it is after the up",
        "42704": "name the object as it is after the up",
        "23505": "several rows get the same unique value: change back only the rows that the up changed (keep their keys)",
        "23502": "the rows of the new version hold NULLs that the old column forbids: fill them in the down first",
    }
    absent = error.sqlstate in ("42P01", "42703", "42704") and _QUOTED.search(error.message)
    if absent and last_part(absent[1]) not in " ".join(s.text for s in migration.up.statements).lower():
        return f"the up makes no {absent[1]}: remove it from this statement, or write IF EXISTS"
    statement = error.statement
    if statement is not None and statement.kind.startswith("truncate") and statement.relations:
        # The server's own hint, CASCADE, would empty the other tables as well.
        table = short(statement.relations[0])
        return f"do not empty {table}: set back by key only the rows that the up changed (UPDATE {table} SET … FROM <backup>)"
    hint = "" if "CASCADE" in error.hint else error.hint
    return about.get(error.sqlstate) or hint or "correct the statement at this place so that it undoes the up"


@check("PMG401", "down-fails", part=Part.ROLLBACK, severity=Severity.ERROR)
def down_fails(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The down ends with an error.

    Why it matters:
    The rollback stops half way through an outage.

    How it is measured:
    The down is run right after the up, on the same rows.

    How to fix:
    Correct the statement that the finding points at. Drop objects in the reverse order of their creation; make room
    for rows that the old constraints do not allow.

    When to ignore:
    Use -- pgmigrate: irreversible <reason> where there is no way back.

    References:
    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    step = evidence.down
    if step is None or step.error is None or is_refusal(step.error):
        return
    if acknowledged(evidence.migration):
        return
    error = step.error
    left = listed([*map(describe, step.difference.objects), *map(counts, step.difference.tables)])
    yield Observation(
        place=error.place,
        message=f"the down fails: {error.message}" + (f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""),
        effect="a release with this migration cannot be rolled back",
        fix=_advice(error, evidence.migration),
        observed={**error_facts(error), "still_different": len(step.difference.objects)},
        details=(*error_details(error), *(f"not undone: {line}" for line in left)),
    )
