"""A migration tried on a table without a row."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, short
from pytest_pgmigrate.checks._locks import watched
from pytest_pgmigrate.model.cluster import SeedReport
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Statement
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG710", "table-not-exercised", part=Part.DATA, severity=Severity.INFO, strict=Severity.ERROR)
def table_not_exercised(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The migration works on a table that could not be filled, so it was tried without a row.

    Why it matters:
    Most faults show only where rows are: a NOT NULL that existing rows break, a scan or rewrite under a lock, a value that
    the down does not bring back. On an empty table all of them pass.

    How it is measured:
    From the tables that got no row, with the reason the server gave, and from the statements of the up that name or
    lock them. A table that the seed file skips is not reported.

    How to fix:
    Give it rows: a line of the seed file for the column that stands in the way, or SQL in seed/VERSION.before.sql, from
    the stub in the finding.

    When to ignore:
    When the table is empty in production too; or list it under skip in pgmigrate-seed.toml.

    References:
    https://www.postgresql.org/docs/current/ddl-partitioning.html
    """
    if evidence.status != "examined":
        return
    for report in evidence.seeded:
        if report.status != "empty" or evidence.rows_before.get(report.table, 0):
            continue
        statement = _touching(evidence, report.table)
        if statement is not None:
            yield _observe(report, statement)


def _touching(evidence: MigrationEvidence, table: str) -> Statement | None:
    """The first statement of the up that locks the table or names it."""
    for item in watched(evidence):
        if item.down:
            continue
        relations = [lock.relation for lock in item.seen.taken] + [count.relation for count in item.seen.counts]
        if any(not r.new and table in (r.name, r.table) for r in relations):
            return item.seen.statement
    return next((s for s in evidence.migration.up.statements if _names(s, table)), None)


def _names(statement: Statement, table: str) -> bool:
    wanted = {table.lower(), short(table).lower()}
    return any(name.replace('"', "").lower() in wanted for name in statement.relations)


def _observe(report: SeedReport, statement: Statement) -> Observation:
    table = short(report.table)
    root = short(report.cause.partition(": ")[0]) if report.cause else table
    why = f"{report.reason}; {report.cause}" if report.cause else report.reason
    stub = f": {report.stub}" if report.stub else ""
    return Observation(
        place=statement.place,
        message=f"{table} had no row when this ran, 0 of {report.asked} could be filled in: {why}",
        effect=f"what it does to the rows of {table} was not tried: NULLs, scans, rewrites and losses go unseen",
        fix=f"fill {root} in seed/VERSION.before.sql, VERSION being the one that makes it{stub}",
        observed={
            "table": report.table,
            "rows_asked": report.asked,
            "reason": report.reason,
            "cause": report.cause,
            "stub": report.stub,
        },
        details=(f"statement: {first_line(statement.text)}",),
    )
