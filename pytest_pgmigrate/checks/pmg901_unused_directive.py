"""A directive that silences or acknowledges nothing."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import CONTRACTION, acknowledged, short
from pytest_pgmigrate.model.compat import CompatEvidence
from pytest_pgmigrate.model.finding import Finding, Part, Severity
from pytest_pgmigrate.model.judgement import Judgement
from pytest_pgmigrate.model.migration import Directive
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG901", "unused-directive", part=Part.APPLY, severity=Severity.WARNING)
def unused_directive(judged: Judgement, settings: Settings) -> Iterator[Observation]:
    """An ignore, irreversible or contract directive has nothing to silence or acknowledge.

    Why it matters:
    A directive that outlives its reason hides the next fault of the same kind.

    How it is measured:
    After all checks have judged the migration, each directive must have matched a finding or a loss.

    How to fix:
    Delete the directive, or correct the code or name in its brackets.

    When to ignore:
    When it is only needed on another PostgreSQL version or engine.

    References:
    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-COMMENTS
    """
    # What was turned off may be what the directive speaks of.
    whole = judged.all_selected and settings.rows and settings.later_rows
    if judged.evidence.status != "examined" or not whole or settings.no_edge_rows or settings.no_drills:
        return
    migration = judged.evidence.migration
    for script in (migration.up, migration.down):
        for directive in script.directives if script else ():
            if directive.word not in ("ignore", "ignore-file", "irreversible", "contract") or _used(directive, judged):
                continue
            names = f"[{', '.join(directive.args)}]" if directive.args and directive.word != "contract" else ""
            yield Observation(
                place=directive.place,
                message=f"{directive.word}{names} matches nothing that was found",
                effect="it would hide the next fault of this kind",
                fix="delete the directive, or correct what stands in its brackets",
                observed={"word": directive.word, "args": list(directive.args), "reason": directive.reason},
            )


def _used(directive: Directive, judged: Judgement) -> bool:
    if directive.word == "irreversible":
        return _acknowledges(directive, judged)
    if directive.word == "contract":
        # Without the drill nothing shows whether the old release would break.
        return judged.evidence.drilled(CompatEvidence) is None or any(
            finding.ignored is not None and finding.code in CONTRACTION for finding in judged.findings
        )
    return any(finding.ignored is not None and _means(directive, finding) for finding in judged.findings)


def _means(directive: Directive, finding: Finding) -> bool:
    words = {arg.lower() for arg in directive.args}
    return finding.place.file == directive.place.file and bool(words & {finding.code.lower(), finding.slug})


def _acknowledges(directive: Directive, judged: Judgement) -> bool:
    evidence = judged.evidence
    migration = evidence.migration
    if migration.down is None or migration.down.blank:
        return True
    step = evidence.down
    if step is None:
        return True
    lost = (*evidence.edge.lost, *evidence.edge.lost_later)
    if not directive.args:
        return bool(step.error or step.difference or evidence.later.lost or lost)
    names = {change.key.name for change in step.difference.objects}
    names |= {change.key.relation for change in step.difference.objects}
    for change in step.difference.tables:
        names |= {change.table, *(f"{change.table}.{column}" for column in (*change.columns, *change.lost_columns))}
    for rows in evidence.later.lost:
        names |= {rows.table, *(f"{rows.table}.{column}" for column in rows.columns)}
    for one in lost:
        names |= {one.row.table, f"{one.row.table}.{one.row.column}"}
    wanted = {short(arg).lower() for arg in directive.args}
    return bool(wanted & {short(name).lower() for name in names}) and acknowledged(migration, *names) is not None
