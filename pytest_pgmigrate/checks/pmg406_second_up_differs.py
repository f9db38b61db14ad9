"""A second up that gives something else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_pgmigrate.checks._common import is_only_position, listed, maker, top, writer
from pytest_pgmigrate.checks._rows import counts, row_lines
from pytest_pgmigrate.checks._words import differs
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.state import TableChange
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _by_chance(change: TableChange, evidence: MigrationEvidence) -> bool:
    """A table that comes out otherwise each time, whatever was there before: PMG705 says so."""
    found = next((one for one in evidence.unsteady if one.table == change.table.replace('"', "")), None)
    return found is not None and (not found.columns or set(change.columns) <= set(found.columns))


@check("PMG406", "second-up-differs", part=Part.REAPPLY, severity=Severity.ERROR)
def second_up_differs(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Up, down and up again gives another state than the first up.

    Why it matters:
    A database that was rolled back once differs from one that was not.

    How it is measured:
    The states after the first and the second up are compared; clock values and generated keys are recognised and
    printed.

    How to fix:
    Make the up independent of what was there before; give rows explicit keys; order what depends on order.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/catalogs.html
    """
    step = evidence.again
    if step is None or step.error is not None or step.name == "up on leftovers" or not step.difference:
        return
    difference = replace(
        step.difference, tables=tuple(t for t in step.difference.tables if not _by_chance(t, evidence))
    )
    changes = [*difference.objects, *difference.roles]
    if changes and all(is_only_position(c) for c in changes) and not difference.tables:
        return
    lines = listed([*map(differs, changes), *map(counts, difference.tables)])
    if not lines:
        return
    statement = next((s for s in (writer(c, evidence.migration.up) for c in difference.tables) if s), None) or next(
        (s for s in (maker(c, evidence.migration.up) for c in difference.objects) if s), None
    )
    yield Observation(
        place=statement.place if statement else top(evidence.migration.up),
        message=f"the second up leaves something else than the first: {lines[0]}",
        effect="a database that was rolled back and migrated again differs from all others",
        fix="make the statement depend on nothing but the state before: explicit keys, ORDER BY where order matters",
        observed={"objects": [str(c.key) for c in changes], "tables": [c.table for c in difference.tables]},
        details=(*lines, *(line for c in difference.tables for line in row_lines(c))),
    )
