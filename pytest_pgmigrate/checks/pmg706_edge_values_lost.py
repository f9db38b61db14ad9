"""Edge values that up and down do not give back."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import acknowledged, listed, short, top, writer
from pytest_pgmigrate.checks._edge import became, names_of, row_text
from pytest_pgmigrate.model.evidence import LostEdge, MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.state import TableChange
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _filled_on_purpose(evidence: MigrationEvidence, column: str, found: list[LostEdge]) -> bool:
    """NULLs that the up itself looks for and fills: an ordinary backfill, which no down takes back."""
    asked = re.compile(
        rf"\b{re.escape(column)}\W+IS\s+NULL|\bCOALESCE\s*\(\W*(\w+\.)?{re.escape(column)}\b", re.IGNORECASE
    )
    nulls = all(one.row.value is None and not one.gone for one in found)
    return nulls and any(asked.search(statement.text) for statement in evidence.migration.up.statements)


@check("PMG706", "edge-values-lost", part=Part.DATA, severity=Severity.WARNING)
def edge_values_lost(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Up and down give back the usual rows, and not those with a NULL, an empty string or another value at a boundary.

    Why it matters:
    After a rollback a NULL has become '', a fraction is gone, a row with an unusual value is deleted; no error says so.

    How it is measured:
    Rows with one value at the boundary of its column are taken up and down and read again by their key. Columns whose
    usual values are lost as well belong to another finding; NULLs that the up itself looks for and fills are information.

    How to fix:
    Keep the old values beside the new ones until the release is final, or let the down restore them from a backup table.

    When to ignore:
    When no such value occurs, or losing it is meant: acknowledge with -- pgmigrate: irreversible[table.column] <reason>.

    References:
    https://www.postgresql.org/docs/current/functions-conditional.html
    """
    down = evidence.migration.down
    known = {change.table for change in evidence.down.difference.tables} if evidence.down else set()
    groups: dict[tuple[str, str], list[LostEdge]] = defaultdict(list)
    for lost in evidence.edge.lost:
        groups[(lost.row.table, lost.row.column)].append(lost)
    for (table, column), found in groups.items():
        if down is None or table in known or acknowledged(evidence.migration, table, f"{table}.{column}"):
            continue
        statement = writer(TableChange(table, 0, 0), down)
        names = ", ".join(names_of([one.row for one in found]))
        gone = sum(one.gone for one in found)
        yield Observation(
            place=statement.place if statement else top(down),
            message=f"{names} in {short(table)}.{column} {'does' if len(found) == 1 else 'do'} not survive up and down"
            + (f": {gone} of {len(found)} rows are gone" if gone else ""),
            effect="a rollback changes rows that nobody touched, without an error",
            fix=f"let the up keep the old {column} of {short(table)} (a column or table beside it) and the down restore it",
            observed={"table": table, "column": column, "values": names_of([one.row for one in found]), "gone": gone},
            severity=Severity.INFO if _filled_on_purpose(evidence, column, found) else None,
            details=listed(f"{row_text(one.row)} {became(one)}" for one in found),
        )
