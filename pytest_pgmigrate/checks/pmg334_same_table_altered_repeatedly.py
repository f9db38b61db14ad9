"""Several ALTER TABLE where one would go over the rows once."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, short
from pytest_pgmigrate.checks._locks import Watched, about, is_small, rows_phrase, watched
from pytest_pgmigrate.checks._sql import as_sql
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

# These scan by themselves, one by one, also within one ALTER TABLE.
_APART = (
    "ValidateConstraint",
    "AddConstraint FOREIGN",
    "AttachPartition",
    "AddConstraint PRIMARY",
    "AddConstraint UNIQUE",
)
_ACTIONS = re.compile(
    r'ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?:"[^"]+"|[\w$])+(?:\.(?:"[^"]+"|[\w$]+))?\s*\*?\s*(.*?);?$', re.I
)


def _worked_on(item: Watched) -> str:
    """The table whose rows this ALTER TABLE went over, or ""."""
    seen = item.seen
    kinds = [kind.removeprefix("ALTER TABLE: ") for kind in seen.statement.kinds if kind.startswith("ALTER TABLE: ")]
    if seen.failed or not any(not kind.startswith(_APART) for kind in kinds):
        return ""
    rewritten = [relation for relation in seen.rewritten if about(seen.statement, relation)]
    rows = item.evidence.rows_before
    read = [
        count.relation
        for count in seen.counts
        if count.read and 2 * count.read >= rows.get(count.relation.name, 0) and about(seen.statement, count.relation)
    ]
    return next((r.name for r in (*rewritten, *read) if r.holds_rows and not r.new), "")


def _combined(items: list[Watched]) -> str:
    found = [_ACTIONS.match(as_sql(item.seen.statement)) for item in items]
    head = as_sql(items[0].seen.statement)
    if found[0] is None or not all(found):
        return "write their actions into one ALTER TABLE, separated by commas"
    return f"{head[: found[0].start(1)]}{', '.join(match[1] for match in found if match)};"


@check("PMG334", "same-table-altered-repeatedly", part=Part.LOCKS, severity=Severity.WARNING)
def same_table_altered_repeatedly(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Several ALTER TABLE of one migration each go over all rows of the same table.

    Why it matters:
    PostgreSQL does all actions of one ALTER TABLE in a single pass over the rows. As statements of their own they read
    or rewrite the table once each, and the lock is held that much longer.

    How it is measured:
    From the rows read and the files rewritten by each ALTER TABLE. Foreign keys, new indexes and VALIDATE CONSTRAINT do
    not count: they make passes of their own in any case. The lock itself is another finding.

    How to fix:
    Write the actions into one ALTER TABLE, separated by commas.

    When to ignore:
    When one needs the other to be done first.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
    """
    groups: dict[tuple[str, str], list[Watched]] = {}
    for item in watched(evidence):
        if table := _worked_on(item):
            groups.setdefault((item.step.name, table), []).append(item)
    for (_, table), items in groups.items():
        if len(items) < 2 or is_small(evidence, settings, table):
            continue
        lines = [item.seen.statement.place.line for item in items]
        rows = rows_phrase(evidence, table, evidence.rows_before.get(table, 0))
        yield Observation(
            place=items[1].seen.statement.place,
            message=f"{len(items)} ALTER TABLE (lines {', '.join(map(str, lines))}) each go over all {rows} of {short(table)}",
            effect=f"{short(table)} is read or rewritten {len(items)} times where once is enough, and stays locked as long",
            fix=_combined(items),
            observed={"step": items[0].step.name, "relation": table, "lines": lines},
            details=tuple(f"statement: {first_line(item.seen.statement.text)}" for item in items),
        )
