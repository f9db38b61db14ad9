"""A down that leaves another comment or statistics target."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import acknowledged, is_soft, listed, top
from pytest_pgmigrate.checks._undo import advice
from pytest_pgmigrate.checks._words import describe
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG412", "comment-or-statistics-not-restored", part=Part.ROLLBACK, severity=Severity.WARNING)
def comment_or_statistics_not_restored(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """After up and down a comment or a statistics target is not what it was.

    Why it matters:
    No statement gives other rows for it. A comment that says what is no longer true misleads people and tools that
    read comments; another statistics target makes ANALYZE sample otherwise, and plans may change.

    How it is measured:
    Comments of all objects and statistics targets of columns, indexes and extended statistics before the up and after
    the down.

    How to fix:
    Let the down write the old comment (COMMENT ON … IS …) and the old target (SET STATISTICS, -1 for the default).

    When to ignore:
    When nobody reads the comments.

    References:
    https://www.postgresql.org/docs/current/sql-comment.html
    https://www.postgresql.org/docs/current/planner-stats.html
    """
    step, down = evidence.down, evidence.migration.down
    if step is None or down is None or step.error is not None:
        return
    soft = [c for c in (*step.difference.objects, *step.difference.roles) if is_soft(c)]
    soft = [c for c in soft if not acknowledged(evidence.migration, c.key.name, c.key.relation or c.key.name)]
    if not soft:
        return
    more = f" and {len(soft) - 1} more" if len(soft) > 1 else ""
    yield Observation(
        place=top(down),
        message=f"the down leaves {describe(soft[0])}{more}",
        effect="people and tools read a comment that is no longer true"
        if soft[0].attribute == "comment"
        else "ANALYZE samples otherwise than before, and plans may change",
        fix=advice(soft[0], down.file.rsplit("/", 1)[-1], by_down=False),
        observed={"objects": [describe(c) for c in soft]},
        details=listed(map(describe, soft)) if len(soft) > 1 else (),
    )
