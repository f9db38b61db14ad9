"""A table that is gone, or empty, after the up."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import acknowledged, first_line, listed, short
from pytest_pgmigrate.checks._locks import (
    Watched,
    about,
    blocked_lines,
    known_rows,
    rows_phrase,
    watched,
)
from pytest_pgmigrate.checks._sql import qualified
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.watch import Relation
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _removed(item: Watched) -> tuple[Relation, ...]:
    """Tables that existed before and that this statement dropped or emptied."""
    seen = item.seen
    if seen.statement.kind == "truncate_stmt":
        return tuple(relation for relation in seen.emptied if not relation.new and relation.holds_rows)
    locked = [lock.relation for lock in seen.held if lock.mode.blocks_reads and not lock.relation.new]
    tables = [r for r in locked if r.kind in ("table", "partitioned table", "foreign table")]
    if seen.statement.kind == "DROP TABLE":
        named = {r.name for r in tables if about(seen.statement, r)}
        return tuple(r for r in tables if r.name in named or named & set(r.parents))
    if seen.statement.kind == "DROP SCHEMA":
        return tuple(r for r in tables if r.name.split(".", 1)[0] in seen.statement.relations)
    if seen.statement.kind in ("do_stmt", "call_stmt", "select_stmt", "drop_owned_stmt"):
        return tuple(r for r in tables if r.name in _missing(item.evidence))
    return ()


def _missing(evidence: MigrationEvidence) -> set[str]:
    """Tables that were there before the up and are not after it; none when one may only have been renamed."""
    tables = [change for change in evidence.changed.objects if change.key.kind == "table"]
    if any(change.change == "extra" for change in tables):
        return set()
    return {change.key.name for change in tables if change.change == "missing"}


def _with_rows(evidence: MigrationEvidence, table: str) -> str:
    rows = evidence.rows_before.get(table)
    if rows is None and known_rows(evidence, table) is None:
        return short(table)
    return f"{short(table)} with {rows_phrase(evidence, table, rows or 0)}"


@check("PMG323", "table-removed", part=Part.LOCKS, severity=Severity.WARNING)
def table_removed(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The up drops or empties a table that existed before.

    Why it matters:
    Until the last instance of the old release is gone, its queries of that table fail, or find nothing. The rows come
    back from a backup only, and AccessExclusiveLock is taken on each of these tables; CASCADE reaches more of them.

    How it is measured:
    From the locks and files of tables that existed before, so that CASCADE, DROP SCHEMA and what a DO block drops
    count as well. A table that an irreversible directive covers is not reported.

    How to fix:
    Stop using the table one release earlier; then say with the directive that its rows are not needed any more. Or
    rename it first, and drop it when nobody has missed it.

    When to ignore:
    Acknowledge with -- pgmigrate: irreversible[table] <reason>.

    References:
    https://www.postgresql.org/docs/current/sql-droptable.html
    https://www.postgresql.org/docs/current/sql-truncate.html
    """
    for item in watched(evidence):
        seen = item.seen
        if item.down or seen.failed:
            continue
        gone = [r for r in _removed(item) if acknowledged(evidence.migration, r.name) is None]
        if not gone:
            continue
        gone.sort(key=lambda r: (not about(seen.statement, r), r.name))
        emptied = seen.statement.kind == "truncate_stmt"
        verb, told = ("empties", "find nothing") if emptied else ("removes", "fail")
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        first = gone[0].name
        aside = "" if emptied else f", or keep it aside first: ALTER TABLE {qualified(first)} RENAME TO {_old(first)};"
        yield Observation(
            place=seen.statement.place,
            message=f"{first_line(seen.statement.text, 60)} {verb} {_with_rows(evidence, first)}{more}",
            effect=f"queries of {short(first)} by the release that still runs {told}; only a backup brings the rows back",
            fix=f"stop using {short(first)} one release earlier, then write -- pgmigrate: irreversible[{short(first)}] "
            f"<reason> above the statement{aside}",
            observed={
                "tables": [r.name for r in gone],
                "rows": {r.name: evidence.rows_before[r.name] for r in gone if r.name in evidence.rows_before},
                "production_rows": known_rows(evidence, first),
            },
            details=listed([*blocked_lines(seen), *(f"also {_with_rows(evidence, r.name)}" for r in gone[1:])]),
        )


def _old(table: str) -> str:
    return qualified(table).rpartition(".")[2].strip('"') + "_old"
