"""A materialized view that nobody can read while it is refreshed."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._hazards import Group, found, observe
from pytest_pgmigrate.checks._sql import derived
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _fix(group: Group) -> str:
    view = group.table
    return (
        f"REFRESH MATERIALIZED VIEW CONCURRENTLY {view}; it needs a unique index on columns of the view: "
        f"CREATE UNIQUE INDEX CONCURRENTLY {derived(view, 'key')} ON {view} (<columns>);"
    )


@check("PMG313", "matview-refresh-blocks", part=Part.LOCKS, severity=Severity.ERROR)
def matview_refresh_blocks(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A materialized view is computed anew while its readers wait.

    Why it matters:
    REFRESH MATERIALIZED VIEW runs the view's query and writes the whole result under AccessExclusiveLock: every
    SELECT of the view waits as long as the query takes.

    How it is measured:
    The view's file before and after the statement, and the lock it held.

    How to fix:
    REFRESH MATERIALIZED VIEW CONCURRENTLY, which readers do not notice. It needs a unique index on the view.

    When to ignore:
    Nobody reads the view while migrations run.

    References:
    https://www.postgresql.org/docs/current/sql-refreshmaterializedview.html
    """
    for group in found(evidence, settings, "PMG313"):
        yield observe(group, "REFRESH MATERIALIZED VIEW", _fix(group))
