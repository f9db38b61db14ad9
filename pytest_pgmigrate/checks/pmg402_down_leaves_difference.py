"""A down that leaves another schema."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import (
    acknowledged,
    consequence,
    data_changes,
    is_wrong,
    last_part,
    listed,
    maker,
    short,
    top,
    writer,
)
from pytest_pgmigrate.checks._rows import observed_rows, row_lines
from pytest_pgmigrate.checks._undo import advice
from pytest_pgmigrate.checks._words import describe, without_echo
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Place, Script, Statement
from pytest_pgmigrate.model.state import ObjectChange
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _blamed(change: ObjectChange, up: Script, down: Script) -> Statement | None:
    if change.change == "extra":
        return maker(change, up) or maker(change, down)
    return maker(change, down) or (_setter(change, down) if change.change == "changed" else None)


def _setter(change: ObjectChange, down: Script) -> Statement | None:
    """The down's ALTER TABLE that speaks of the column, the last one when there are several."""
    if change.key.kind != "column":
        return None
    table, column = last_part(change.key.relation), last_part(change.key.name)
    speaks = re.compile(rf"(?<![\w$]){re.escape(column)}(?![\w$])", re.IGNORECASE)
    found = [s for s in down.statements if s.kind.startswith("ALTER TABLE") and table in map(last_part, s.relations)]
    return next((s for s in reversed(found) if speaks.search(s.text)), None)


@check("PMG402", "down-leaves-difference", part=Part.ROLLBACK, severity=Severity.ERROR)
def down_leaves_difference(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """After up and down the schema is not what it was.

    Why it matters:
    The rolled back release runs on a schema that nobody tested, and the next up may collide with what was left.

    How it is measured:
    The catalog before the up and after the down is compared object by object: columns with type, default and
    nullability, constraints, indexes, views, functions, triggers, types, sequences, grants, storage,
    settings of roles and of the database.

    How to fix:
    Let the down undo every statement of the up, in reverse order; the finding names the object and the statement
    that made it.

    When to ignore:
    Acknowledge with -- pgmigrate: irreversible[name] <reason>.

    References:
    https://www.postgresql.org/docs/current/catalogs.html
    """
    step, down = evidence.down, evidence.migration.down
    if step is None or down is None or step.error is not None:
        return
    wrong = [c for c in (*step.difference.objects, *step.difference.roles) if is_wrong(c)]
    wrong = [c for c in wrong if not acknowledged(evidence.migration, c.key.name, c.key.relation or c.key.name)]
    groups: dict[Place, list[ObjectChange]] = {}
    for change in without_echo(wrong):
        # What is left stands where it was made, what is gone or other where it should have been restored.
        statement = _blamed(change, evidence.migration.up, down)
        groups.setdefault(statement.place if statement else top(down), []).append(change)
    for place, changes in groups.items():
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        yield Observation(
            place=place,
            message=f"the down leaves a difference: {describe(changes[0])}{more}",
            effect="after a rollback the old release runs on a schema it never had" + consequence(evidence),
            fix=advice(
                changes[0], down.file.rsplit("/", 1)[-1], by_down=place.file == down.file and place != top(down)
            ),
            observed={"objects": [describe(c) for c in changes]},
            details=listed(map(describe, changes)) if len(changes) > 1 else (),
        )
    for table in data_changes(step):
        if table.new_count <= table.old_count or acknowledged(evidence.migration, table.table):
            continue
        statement = writer(table, evidence.migration.up)
        left = table.new_count - table.old_count
        yield Observation(
            place=statement.place if statement else top(down),
            message=f"the down leaves {left} rows in {short(table.table)} that were not there before",
            effect="the old release meets rows it does not know" + consequence(evidence, table.table),
            fix=f"delete in the down exactly the rows that the up inserted into {short(table.table)}",
            observed={
                "table": table.table,
                "rows_before": table.old_count,
                "rows_after": table.new_count,
                **observed_rows(table),
            },
            details=row_lines(table),
        )
    behind = {item.sequence for item in step.behind}  # PMG702 speaks of these
    for sequence in step.difference.sequences:
        if sequence.forward or sequence.old is None or sequence.new is None or sequence.name in behind:
            continue
        yield Observation(
            place=top(down),
            message=f"the down moves sequence {sequence.name} back: {sequence.new.last_value}, was {sequence.old.last_value}",
            effect="numbers that were given out already are given out again",
            fix=f"remove the setval or RESTART of {sequence.name}",
            observed={"sequence": sequence.name, "old": sequence.old.last_value, "new": sequence.new.last_value},
        )
