"""An empty down."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import acknowledged, listed, top
from pytest_pgmigrate.checks._rows import counts
from pytest_pgmigrate.checks._words import differs
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.state import ObjectChange
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _done(change: ObjectChange) -> str:
    """What the up did to one object: nothing of it is a fault of the up."""
    words = {"extra": "made by the up", "missing": "dropped by the up"}
    return f"{change.key} {words[change.change]}" if change.change in words else differs(change)


@check("PMG404", "blank-down", part=Part.ROLLBACK, severity=Severity.ERROR)
def blank_down(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The down holds no statement, though the up changed something.

    Why it matters:
    The tool reports a rollback that did not happen.

    How it is measured:
    The down's text is split into statements; there are none. The up changed the catalog or rows.

    How to fix:
    Write the down, or say with a reason that there is no way back: -- pgmigrate: irreversible <reason>.

    When to ignore:
    Use the irreversible directive.

    References:
    https://github.com/golang-migrate/migrate/blob/master/MIGRATIONS.md
    """
    down = evidence.migration.down
    if evidence.status != "examined" or down is None or not down.blank or not evidence.changed:
        return
    if acknowledged(evidence.migration):
        return
    done = listed([*map(_done, evidence.changed.objects), *map(counts, evidence.changed.tables)])
    objects, tables = len(evidence.changed.objects), len(evidence.changed.tables)
    what = [
        text
        for text, number in ((f"{objects} schema changes", objects), (f"rows of {tables} tables", tables))
        if number
    ]
    again = evidence.rerun.error if evidence.rerun is not None else None
    yield Observation(
        place=top(down),
        message=f"the down is empty, but the up changed something: {', '.join(what)}",
        effect="a rollback reports success and undoes nothing"
        + (f"; the next up then fails: {again.message}" if again is not None else ""),
        fix=f"write the way back into {down.file.rsplit('/', 1)[-1]}, or: -- pgmigrate: irreversible <reason>",
        observed={"objects": len(evidence.changed.objects), "tables": len(evidence.changed.tables)},
        details=done,
    )
