"""A down that does not bring the data back."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import data_changes, last_part, short, top, wholly_acknowledged, writer
from pytest_pgmigrate.checks._rows import counts, observed_rows, row_lines
from pytest_pgmigrate.model.evidence import MigrationEvidence, Step
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Script, Statement
from pytest_pgmigrate.model.state import TableChange
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _advice(change: TableChange) -> str:
    table = short(change.table)
    if change.lost_columns:
        column = change.lost_columns[0]
        return (
            f"keep {table}.{column} until a later release, or copy it aside in the up and back in the down; if the "
            f"loss is meant: -- pgmigrate: irreversible[{table}.{column}] <reason>"
        )
    if change.columns and change.new_count == change.old_count:
        names = ", ".join(f"{table}.{column}" for column in change.columns)
        return f"let the down set {names} back to what it was, or acknowledge: -- pgmigrate: irreversible[{names}] <reason>"
    return f"let the down restore {table} by key, or acknowledge: -- pgmigrate: irreversible[{table}] <reason>"


def _changed(change: TableChange) -> str:
    if not change.columns:
        return f"{counts(change)}; other rows than before"
    return f"other values of {', '.join(change.columns)} than before the up"


def _maker(change: TableChange, down: Script) -> Statement | None:
    """The CREATE TABLE of the down that brings the table back empty."""
    table = last_part(change.table)
    return next((s for s in down.statements if table in map(last_part, s.creates)), None)


def _remover(change: TableChange, evidence: MigrationEvidence) -> Statement | None:
    """The statement of the up that takes the rows away, where it is not the down that does."""
    if not any(c.table == change.table and c.new_count < c.old_count for c in evidence.changed.tables):
        return None
    table = last_part(change.table)
    removing = [s for s in evidence.migration.up.statements if s.kind.split("_", 1)[0] in ("delete", "truncate")]
    return next((s for s in removing if table in map(last_part, s.relations)), None)


def _relabelled(change: TableChange, step: Step) -> bool:
    """Whether the rows only read otherwise because enum labels have other names: PMG402 speaks of the type."""
    pairs = {
        pair
        for c in step.difference.objects
        if c.attribute == "labels"
        and isinstance(c.old, tuple)
        and isinstance(c.new, tuple)
        and len(c.old) == len(c.new)
        for pair in zip(c.old, c.new, strict=True)
    }
    shown = [pair for row in change.rows for pair in row.values.values()]
    return bool(pairs and shown) and not change.lost_columns and all(pair in pairs for pair in shown)


@check("PMG403", "down-loses-data", part=Part.DATA, severity=Severity.ERROR)
def down_loses_data(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Values that existed before the up are gone or changed after the down.

    Why it matters:
    A rollback brings the old schema back, but not what was in it: dropped columns come back empty, converted values
    come back rounded.

    How it is measured:
    All rows before the up and after the down are compared by keyed, per-column hashes; the differing rows are shown
    by key.

    How to fix:
    Keep the old column until the contract step of a later release, or copy its values aside in the up and back in
    the down. Acknowledge a loss that is meant: -- pgmigrate: irreversible[table.column] <reason>.

    When to ignore:
    Use the irreversible directive: its reason is printed in every report.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html
    """
    step, down = evidence.down, evidence.migration.down
    if step is None or down is None or step.error is not None:
        return
    for change in data_changes(step):
        if change.new_count > change.old_count or wholly_acknowledged(evidence.migration, change):
            continue
        if _relabelled(change, step):
            continue
        statement = writer(change, down) or _maker(change, down)
        columns = ", ".join(change.lost_columns or change.columns)
        lost = change.old_count - change.new_count
        what = f"{lost} of {change.old_count} rows are gone" if lost > 0 else _changed(change)
        remover = _remover(change, evidence) if lost > 0 else None
        if remover is not None:
            what += f", deleted by the up at line {remover.place.line}"
        if change.lost_columns:
            what = f"the values of {columns} are gone from all rows that had one ({change.old_count} rows)"
        yield Observation(
            place=statement.place if statement else top(down),
            message=f"{short(change.table)} after the down: {what}",
            effect="rolling back destroys data of the running application, and no error says so"
            if lost > 0 or change.lost_columns
            else "after a rollback the application reads other values than before the up, and no error says so",
            fix=_advice(change),
            observed={
                "table": change.table,
                "rows_before": change.old_count,
                "rows_after": change.new_count,
                "columns": list(change.columns),
                "lost_columns": list(change.lost_columns),
                **observed_rows(change),
            },
            details=row_lines(change),
        )
