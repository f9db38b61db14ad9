"""A down that moves columns."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import SHOWN, acknowledged, is_only_position, last_part, listed, short, top
from pytest_pgmigrate.checks._words import differs
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.state import ObjectChange
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _moved(changes: list[ObjectChange]) -> list[ObjectChange]:
    """The fewest columns that explain the new order: all but a longest run that kept its order."""
    ordered = sorted(changes, key=lambda c: _position(c.new))
    runs: list[list[ObjectChange]] = []
    for change in ordered:
        fitting = [run for run in runs if _position(run[-1].old) < _position(change.old)]
        runs.append([*max(fitting, key=len, default=[]), change])
    kept = max(runs, key=len, default=[])
    return [c for c in ordered if c not in kept] or changes


def _position(value: object) -> int:
    return value if isinstance(value, int) else 0


@check("PMG405", "column-order-changed", part=Part.ROLLBACK, severity=Severity.WARNING)
def column_order_changed(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """After up and down the columns of a table stand in another order.

    Why it matters:
    Statements that name no columns (INSERT without a list, SELECT *, COPY) read and write the wrong ones.
    PostgreSQL appends columns, so a dropped column cannot come back to its place.

    How it is measured:
    The rank of each live column before the up and after the down.

    How to fix:
    Keep the column and drop it in a later release, or make sure that every statement names its columns.

    When to ignore:
    Common and mostly harmless: it is a warning.

    References:
    https://wiki.postgresql.org/wiki/Alter_column_position
    """
    step, down = evidence.down, evidence.migration.down
    if step is None or down is None or step.error is not None:
        return
    moved: dict[str, list[ObjectChange]] = {}
    for change in step.difference.objects:
        if is_only_position(change):
            moved.setdefault(change.key.relation, []).append(change)
    for table, changes in moved.items():
        if any(c.key.relation == table and not is_only_position(c) for c in step.difference.objects):
            continue
        if acknowledged(evidence.migration, table, *(c.key.name for c in changes)):
            continue
        changes = _moved(changes)
        names = ", ".join(last_part(c.key.name) for c in changes[:SHOWN])
        yield Observation(
            place=top(down),
            message=f"columns of {short(table)} stand elsewhere after the down: {names}",
            effect="INSERT without a column list, SELECT * by position and COPY mix the columns up",
            fix=f"nothing if every statement on {short(table)} names its columns; otherwise keep the column one release longer",
            observed={"table": table, "columns": len(changes)},
            details=listed(map(differs, changes)),
        )
