"""An extension or enum label that the down leaves."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import acknowledged, consequence, is_unreturnable, is_wrong, last_part, top
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Script, Statement
from pytest_pgmigrate.model.state import ObjectChange
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _giver(change: ObjectChange, script: Script) -> Statement | None:
    """The statement that adds the label or creates the extension."""
    for statement in script.statements:
        if statement.kind == "ALTER TYPE ADD VALUE":
            if last_part(change.key.name) in {last_part(name) for name in statement.relations}:
                return statement
        elif statement.kind == "create_extension_stmt" and last_part(change.key.name) in statement.text.lower():
            return statement
    return None


def _advice(change: ObjectChange, statement: Statement | None) -> str:
    if statement is not None and "if not exists" in " ".join(statement.text.lower().split()):
        return f"nothing if that is meant; to acknowledge it: -- pgmigrate: irreversible[{change.key.name}] <reason>"
    return "add IF NOT EXISTS, so that a second up passes over what is there"


def _labels(change: ObjectChange) -> str:
    old, new = change.old, change.new
    if not isinstance(old, (list, tuple)) or not isinstance(new, (list, tuple)):
        return ""
    return " with the new label " + ", ".join(repr(label) for label in new if label not in old)


@check("PMG410", "unreturned-extension-or-enum-label", part=Part.ROLLBACK, severity=Severity.WARNING)
def unreturned_extension_or_enum_label(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The down leaves an extension or a new enum label behind.

    Why it matters:
    Both are left on purpose by many teams: an extension may be in use elsewhere, and PostgreSQL cannot drop an enum
    label. A second up must then cope with it.

    How it is measured:
    The catalog before the up and after the down; a second up is run on what was left.

    How to fix:
    Use CREATE EXTENSION IF NOT EXISTS and ALTER TYPE … ADD VALUE IF NOT EXISTS, so that a second up passes.

    When to ignore:
    Usually harmless when the second up passes.

    References:
    https://www.postgresql.org/docs/current/sql-altertype.html
    """
    step, down = evidence.down, evidence.migration.down
    if step is None or down is None or step.error is not None:
        return
    again = evidence.again
    fails = again is not None and again.name == "up on leftovers" and again.error is not None
    others = any(is_wrong(c) for c in step.difference.objects) or bool(step.difference.tables)
    for change in step.difference.objects:
        if not is_unreturnable(change) or acknowledged(evidence.migration, change.key.name):
            continue
        statement = _giver(change, evidence.migration.up)
        what = f"extension {change.key.name}" if change.key.kind == "extension" else f"enum {change.key.name}"
        labels = _labels(change)
        yield Observation(
            place=statement.place if statement else top(down),
            message=f"the down leaves {what}{labels}" + consequence(evidence),
            effect="the release cannot be deployed again after a rollback"
            if fails
            else "it stays after a rollback; a second up passes over it",
            fix=_advice(change, statement),
            observed={"object": change.key.name, "second_up_fails": fails},
            severity=Severity.ERROR if fails and not others else None,
        )
