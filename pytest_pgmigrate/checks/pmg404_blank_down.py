"""An empty down."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import acknowledged, counts, listed, top
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


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
    done = listed([*evidence.changed.objects, *map(counts, evidence.changed.tables)])
    yield Observation(
        place=top(down),
        message=f"the down is empty, but the up made {len(evidence.changed.objects)} schema changes and touched the rows "
        f"of {len(evidence.changed.tables)} tables",
        effect="a rollback reports success and undoes nothing; the next up collides with what is still there",
        fix=f"write the way back into {down.file.rsplit('/', 1)[-1]}, or: -- pgmigrate: irreversible <reason>",
        observed={"objects": len(evidence.changed.objects), "tables": len(evidence.changed.tables)},
        details=done,
    )
