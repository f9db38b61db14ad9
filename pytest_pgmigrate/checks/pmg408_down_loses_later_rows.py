"""A down that loses what was written meanwhile."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import acknowledged, data_changes, listed, short, top, wholly_acknowledged, writer
from pytest_pgmigrate.checks._edge import became, names_of, row_text
from pytest_pgmigrate.model.evidence import LostEdge, MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Script
from pytest_pgmigrate.model.state import TableChange
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_RENAME = re.compile(r"\bRENAME\s+VALUE\b", re.IGNORECASE)


@check("PMG408", "down-loses-later-rows", part=Part.DATA, severity=Severity.ERROR)
def down_loses_later_rows(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Rows written after the up are lost or changed by the down.

    Why it matters:
    Between a deploy and its rollback the application writes. A down that restores a backup, or truncates and copies
    back, throws those rows away.

    How it is measured:
    In a clone: up, further rows in every table that both versions can hold, down; then every row is looked up by its
    key. New tables that the migration writes to itself, a backup or a list of what it copied, get no rows.
    Values that only the new version can hold are tried apart, one column at a time: losing those is a warning.

    How to fix:
    Restore only what the up changed, row by row and only where nobody changed it since: UPDATE … FROM backup WHERE
    key matches and the value is still the up's.

    When to ignore:
    Acknowledge with -- pgmigrate: irreversible[table] <reason>.

    References:
    https://www.postgresql.org/docs/current/sql-truncate.html
    """
    down = evidence.migration.down
    reported = {change.table for change in evidence.down.difference.tables} if evidence.down else set()
    if evidence.down is not None and any(
        not wholly_acknowledged(evidence.migration, change) for change in data_changes(evidence.down)
    ):
        return  # what the down does to rows is wrong already without later ones
    for lost in evidence.later.lost:
        if down is None or (lost.kind == "before" and lost.table in reported):
            continue
        if lost.kind == "before" and any(o.table == lost.table and o.kind == "later" for o in evidence.later.lost):
            continue
        names = [f"{lost.table}.{column}" for column in lost.columns]
        if acknowledged(evidence.migration, lost.table, *names):
            continue
        statement = writer(TableChange(lost.table, 0, 0), down)
        who = "written after the up" if lost.kind == "later" else "of before the up, beside later writes,"
        what = f"{lost.missing} of {lost.expected} rows {who} are gone"
        if not lost.missing:
            what = f"{lost.changed} of {lost.expected} rows {who} have other values in {', '.join(lost.columns)}"
        yield Observation(
            place=statement.place if statement else top(down),
            message=f"{short(lost.table)} after the down: {what}",
            effect="whatever users did between the deploy and the rollback is lost",
            fix=f"let the down change only the rows of {short(lost.table)} that the up changed, by key, and delete none: "
            f"UPDATE {short(lost.table)} SET … FROM <backup> WHERE the key matches and the value is still the up's",
            observed={"table": lost.table, "written": lost.expected, "missing": lost.missing, "changed": lost.changed},
            details=lost.examples,
        )
    yield from _only_new(evidence, down)


def _only_new(evidence: MigrationEvidence, down: Script | None) -> Iterator[Observation]:
    """Values that only the new version can hold: the down cannot keep them in place, but it should not drop them unsaid."""
    groups: dict[tuple[str, str], list[LostEdge]] = defaultdict(list)
    for lost in evidence.edge.lost_later:
        groups[(lost.row.table, lost.row.column)].append(lost)
    # A label that is named back is the same value under its old name.
    renamed = down is not None and any(_RENAME.search(statement.text) for statement in down.statements)
    for (table, column), found in groups.items():
        if renamed and not any(one.gone for one in found):
            continue
        if down is None or acknowledged(evidence.migration, table, f"{table}.{column}"):
            continue
        statement = writer(TableChange(table, 0, 0), down)
        names = ", ".join(names_of([one.row for one in found])[:4])
        yield Observation(
            place=statement.place if statement else top(down),
            message=f"the new release may write {names} in {short(table)}.{column}, and the down changes such values "
            "without a word",
            effect="what users entered between the deploy and the rollback is cut or replaced",
            fix=f"let the down put values of {short(table)}.{column} that do not fit aside before it changes them, "
            f"or acknowledge with -- pgmigrate: irreversible[{short(table)}.{column}] <reason>",
            observed={"table": table, "column": column, "values": names_of([one.row for one in found])},
            details=listed(f"{row_text(one.row)} {became(one)}" for one in found),
            severity=Severity.WARNING,
        )
