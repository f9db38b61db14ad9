"""A second run after an interruption that succeeds and gives something else."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import is_only_position, listed, short
from pytest_pgmigrate.checks._interrupt import cuts, invalid, leftovers, when
from pytest_pgmigrate.checks._rows import counts, row_lines
from pytest_pgmigrate.checks._words import describe
from pytest_pgmigrate.model.backfill import BackfillEvidence
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.interrupt import Cut
from pytest_pgmigrate.model.migration import Place
from pytest_pgmigrate.model.state import ObjectChange
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _objects(cut: Cut) -> list[ObjectChange]:
    """Differences that are neither an invalid index, nor a leftover, nor column order."""
    known = [*invalid(cut), *leftovers(cut)]
    indexes = {change.key for change in invalid(cut)}
    return [
        change
        for change in (*cut.difference.objects, *cut.difference.roles)
        if change not in known and change.key not in indexes and not is_only_position(change)
    ]


def _told(evidence: MigrationEvidence) -> set[str]:
    """Tables that a plain second run changes already (PMG203), or else a backfill that was cut after a batch (PMG724)."""
    if evidence.rerun is not None and evidence.rerun.difference:
        return {change.table for change in evidence.rerun.difference.tables}
    backfill = evidence.drilled(BackfillEvidence)
    differing = backfill.cut.differing if backfill is not None and backfill.cut is not None else ()
    return {line.split(":", 1)[0] for line in differing}


@check("PMG222", "retry-diverges", part=Part.INTERRUPT, severity=Severity.ERROR)
def retry_diverges(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The up was cut short and run again; the second run succeeds, and the result is not that of a clean run.

    Why it matters:
    Nothing fails, and the data is wrong: rows that a first batch had written are written twice, a price is converted
    twice, a column has another type.

    How it is measured:
    The session is ended after each statement and between the batches of a DO or CALL, with --pgmigrate-crash the server at
    each of their commits; the whole up runs again, and the state is compared with that of a clean run, object by object and
    row by row. Clock values and generated keys are recognised.

    How to fix:
    Let each batch see what is done already: WHERE new IS NULL, ON CONFLICT DO NOTHING, a mark in the row.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/sql-insert.html#SQL-ON-CONFLICT
    """
    groups: dict[Place, list[Cut]] = {}
    told_of = _told(evidence)
    for cut in cuts(evidence):
        told = all(change.table in told_of for change in cut.difference.tables)
        if cut.retry is None and (not told or _objects(cut)):
            groups.setdefault(cut.statement.place, []).append(cut)
    if not groups:
        return
    # One cause, the statement that is run twice; where it was cut is told in the details.
    place, found = next(iter(groups.items()))
    every = [cut for cuts in groups.values() for cut in cuts]
    cut, tables = found[0], found[0].difference.tables
    what = counts(tables[0]) if tables else describe(_objects(cut)[0])
    name = short(tables[0].table) if tables else short(_objects(cut)[0].key.name)
    lines = [*map(describe, _objects(cut)), *map(counts, tables), *(line for t in tables for line in row_lines(t))]
    yield Observation(
        place=place,
        message=f"cut short {when(cut)} and run again, the up gives something else than a clean run: {what}",
        effect="a retry after a time-out changes data a second time, and reports success",
        fix=f"let what writes {name} leave out rows that are done already (WHERE … IS NULL, ON CONFLICT DO NOTHING)",
        observed={
            "tables": [t.table for t in tables],
            "objects": [describe(c) for c in _objects(cut)],
            "cuts": [when(one) for one in every],
        },
        details=listed(lines),
    )
