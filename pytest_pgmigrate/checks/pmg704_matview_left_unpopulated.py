"""A materialized view that nobody can read."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import acknowledged, last_part, short, top
from pytest_pgmigrate.model.evidence import MigrationEvidence, Step
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Script
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _observations(step: Step, script: Script, new: set[str], which: str) -> Iterator[Observation]:
    for name in step.unpopulated:
        view = last_part(name)
        named = [s for s in script.statements if view in map(last_part, (*s.creates, *s.relations))]
        yield Observation(
            place=named[-1].place if named else top(script),
            message=f"after the {which} materialized view {short(name)} holds no data",
            effect=f"SELECT from {short(name)} fails: materialized view has not been populated (SQLSTATE 55000)",
            fix=f"REFRESH MATERIALIZED VIEW {short(name)}; or leave WITH NO DATA out",
            observed={"view": name, "new": name in new},
            severity=Severity.WARNING if name in new else None,
        )


@check("PMG704", "matview-left-unpopulated", part=Part.APPLY, severity=Severity.ERROR)
def matview_left_unpopulated(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A materialized view is left without data.

    Why it matters:
    A view made or refreshed WITH NO DATA is not empty, it cannot be read: every SELECT fails until somebody refreshes
    it.

    How it is measured:
    pg_class.relispopulated of all materialized views before the migration, after the up and after the down. A view that
    the up makes is a warning: nobody reads it yet.

    How to fix:
    End with REFRESH MATERIALIZED VIEW, in a migration of its own when it takes long.

    When to ignore:
    When a later migration or a job refreshes the view before it is read.

    References:
    https://www.postgresql.org/docs/current/sql-refreshmaterializedview.html
    """
    up, down = evidence.up, evidence.down
    new = {c.key.name for c in evidence.changed.objects if c.change == "extra"}
    if up is not None and up.succeeded:
        yield from _observations(up, evidence.migration.up, new, "up")
    if down is None or not down.succeeded or evidence.migration.down is None:
        return
    for_down = [name for name in down.unpopulated if up is None or name not in up.unpopulated]
    left = {c.key.name for c in down.difference.objects if c.change == "extra"}
    for_down = [n for n in for_down if n not in left and not acknowledged(evidence.migration, n)]
    for name in for_down:
        yield from _observations(
            Step(down.name, down.direction, unpopulated=(name,)), evidence.migration.down, set(), "down"
        )
