"""A down that later rows break."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import data_changes, error_details, error_facts, wholly_acknowledged
from pytest_pgmigrate.model.evidence import MigrationEvidence
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
    In a clone: up, further rows in every table, down; once more with NULL in a later row wherever the up drops NOT
    NULL. Without the later rows the same down succeeded.

    How to fix:
    Let the down make room first: shorten, delete or move aside what the old schema cannot hold, and say so.

    When to ignore:
    When such values cannot occur in production.

    References:
    https://www.postgresql.org/docs/current/ddl-constraints.html
    """
    later = evidence.later
    if later.down is None or later.down.error is None or evidence.migration.down is None:
        return
    if evidence.down is not None and any(
        not wholly_acknowledged(evidence.migration, change) for change in data_changes(evidence.down)
    ):
        return  # what the down does to rows is wrong already without later ones
    error = later.down.error
    yield Observation(
        place=error.place,
        message=f"with {later.written} rows written after the up the down fails: {error.message}",
        effect="the rollback works only as long as nobody has used the new release",
        fix="fill or delete the rows with NULL in the down before SET NOT NULL"
        if error.sqlstate == "23502"
        else "decide in the down what becomes of rows that the old schema cannot hold",
        observed={**error_facts(error), "written": later.written},
        details=error_details(error),
    )
