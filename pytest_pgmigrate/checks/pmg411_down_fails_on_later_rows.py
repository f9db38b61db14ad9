"""A down that later rows break."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import data_changes, error_details, error_facts, short, wholly_acknowledged
from pytest_pgmigrate.checks._edge import names_of, row_text
from pytest_pgmigrate.model.evidence import Assumption, MigrationEvidence, ServerError
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG411", "down-fails-on-later-rows", part=Part.DATA, severity=Severity.WARNING)
def down_fails_on_later_rows(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The down fails once rows were written after the up.

    Why it matters:
    The rollback works in a rehearsal on old data and fails in the outage, because the application has written
    meanwhile.

    How it is measured:
    In a clone: up, further rows in every table that both versions can hold, down; without those rows the same down
    succeeded, and it is an error. Where the up makes room (a longer type, a new enum label, a constraint or NOT NULL
    dropped), values that only the new version can hold are tried apart, one column at a time: that is a warning.

    How to fix:
    Let the down make room first: shorten, delete or move aside what the old schema cannot hold, and say so.

    When to ignore:
    When such values cannot occur in production.

    References:
    https://www.postgresql.org/docs/current/ddl-constraints.html
    """
    later = evidence.later
    if later.down is not None and later.down.error is not None and not _wrong_already(evidence):
        yield _of_both(later.down.error, later.written)
        return
    for one in evidence.edge.assumptions:
        if one.later:
            yield _of_new_only(one)


def _wrong_already(evidence: MigrationEvidence) -> bool:
    """What the down does to rows is wrong already without later ones."""
    return evidence.down is not None and any(
        not wholly_acknowledged(evidence.migration, change) for change in data_changes(evidence.down)
    )


def _of_both(error: ServerError, written: int) -> Observation:
    return Observation(
        place=error.place,
        message=f"with {written} rows written after the up the down fails: {error.message}",
        effect="the rollback works only as long as nobody has used the new release",
        fix="decide in the down what becomes of rows written after the up before it changes their table",
        observed={**error_facts(error), "written": written},
        details=error_details(error),
        severity=Severity.ERROR,
    )


def _of_new_only(one: Assumption) -> Observation:
    error, rows = one.error, one.rows
    what = f"{', '.join(names_of(rows)[:4])} in {short(rows[0].table)}.{rows[0].column}" if rows else "such values"
    column = f"{short(rows[0].table)}.{rows[0].column}" if rows else "the column"
    return Observation(
        place=error.place,
        message=f"the up lets the new release write {what}, and the down fails on it: {error.message}",
        effect="the rollback works only until the new release writes what only it can hold",
        fix=f"fill or delete the rows with NULL in {column} in the down before SET NOT NULL"
        if error.sqlstate == "23502"
        else f"decide in the down what becomes of values of {column} that the old schema cannot hold",
        observed={**error_facts(error), "values": names_of(rows)},
        details=(*(row_text(row) for row in rows), *error_details(error)),
    )
