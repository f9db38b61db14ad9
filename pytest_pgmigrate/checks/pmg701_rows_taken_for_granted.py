"""Rows that a migration takes for granted not to be there."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import error_details, error_facts, is_refusal, short
from pytest_pgmigrate.checks._edge import condition, names_of, row_text, what_is_assumed
from pytest_pgmigrate.model.evidence import Assumption, MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG701", "rows-taken-for-granted", part=Part.DATA, severity=Severity.WARNING)
def rows_taken_for_granted(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The migration passes on the rows an application usually writes, and fails on others that the schema allows.

    Why it matters:
    Production holds rows that nobody thought of: a NULL from an import, an empty string, two equal e-mail addresses.
    One of them is enough to stop the deploy, or the rollback.

    How it is measured:
    Beside plausible rows, each table that the migration reads or writes gets rows with one value at the boundary of its
    column: NULL where it is allowed, '', blanks, unicode, the longest and largest values, 0 and -1, NaN, infinity,
    duplicates. Up and down are run on them; each column and value that makes one of them fail is found by trying it
    alone, and confirmed by a run as the tool does it.

    How to fix:
    Ask production whether there are such rows with the query in the finding; correct them in an earlier migration, or
    let the migration itself say what becomes of them.

    When to ignore:
    When the application, not the schema, makes sure that there are no such rows: say so in the reason.

    References:
    https://www.postgresql.org/docs/current/ddl-constraints.html
    """
    for one in evidence.edge.assumptions:
        # An exception that the migration raises itself is no assumption: it looks, and says what is wrong.
        if not one.later and not is_refusal(one.error):
            yield _observation(one)


def _observation(one: Assumption) -> Observation:
    which = "up" if one.direction is Direction.UP else "down"
    effect = "one such row in production stops the deploy" if which == "up" else "one such row stops the rollback"
    facts: dict[str, object] = {**error_facts(one.error), "direction": which}
    if not one.rows:
        return Observation(
            place=one.error.place,
            message=f"the {which} passes only on rows that meet what it is about to demand: {one.error.message}"
            if one.fitted
            else f"the {which} fails on rows at the boundaries of their columns: {one.error.message}",
            effect=effect,
            fix="correct the rows that break it in an earlier migration, or let this one say what becomes of them",
            observed=facts,
            details=error_details(one.error),
        )
    table, column = one.rows[0].table, one.rows[0].column
    count = f"{len(one.rows)} rows" if len(one.rows) > 1 else "1 row"
    asked = condition(one.rows, one.error)
    return Observation(
        place=one.error.place,
        message=f"the {which} assumes {what_is_assumed(one.rows, one.error)}: {count} would break it "
        f"({one.error.message})",
        effect=effect,
        fix=(f"see whether production has such rows: {asked}; " if asked else "")
        + (
            f"then correct {short(table)}.{column} in an earlier migration, in batches"
            if which == "up"
            else f"then let the down say what becomes of them before it changes {short(table)}.{column}"
        ),
        observed={**facts, "table": table, "column": column, "values": names_of(one.rows)},
        details=(*(row_text(row) for row in one.rows), *error_details(one.error)),
    )
