"""What worked before the migration fails after its down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_pgmigrate.checks._common import down_of, is_wrong, short, top
from pytest_pgmigrate.checks._compat import breaks, observation, server_words
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG607", "broken-after-down", part=Part.COMPAT, severity=Severity.ERROR)
def broken_after_down(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A statement of the release before works before the migration, and fails after the down has taken it back.

    Why it matters:
    The down is run to get the old release going again.

    How it is measured:
    The statements and query files that work at the version before are run once more after the down. Where the down
    leaves differences that are findings of their own (PMG402), these are not told again.

    How to fix:
    Let the down restore what the statement needs; name the columns in the statement where their order changed.

    When to ignore:
    When the release that sends it never runs after this migration.

    References:
    https://www.postgresql.org/docs/current/sql-insert.html
    """
    down = evidence.down
    if down is None or down.error is not None or any(is_wrong(change) for change in down.difference.objects):
        return
    for one in breaks(evidence, Direction.DOWN):
        named = f"the query {one.queries[0].file}:{one.queries[0].line}" if one.queries else f"{short(one.relation)}"
        script = down_of(evidence)
        place = script.statements[0].place if script.statements else top(script)
        seen = observation(
            evidence,
            one,
            f"{named} works before the migration and fails after the down: {server_words(one)}",
            effect="after the rollback the old release does not work as before",
            fix="let the down restore what the statement needs, or name its columns where only their order changed",
        )
        yield replace(seen, place=place)
