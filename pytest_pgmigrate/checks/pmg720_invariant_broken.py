"""An invariant of the user's that a migration breaks."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, top
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.invariants import BrokenInvariant, VerifyEvidence
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG720", "invariant-broken", part=Part.DATA, severity=Severity.ERROR)
def invariant_broken(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A query that must return no rows returns some after a step of the migration.

    Why it matters:
    The invariant is what the team itself says must be true, e.g. that the old and the new column agree before the old
    one is dropped. Rows that break it are wrong from this migration on, and later migrations build on them.

    How it is measured:
    Each query that a verify directive or a file of pgmigrate_verify gives is run, read only, at the version before, after
    the up, on the replica once it has replayed, after the down and after the second up. Where a trigger of the history
    fills a column (NEW.column := …), also after rows were inserted and updated as by a release that does not know that
    column. One that returns rows at the version before already says nothing about this migration: information then,
    for fake rows know no more than the schema demands.

    How to fix:
    Correct the step that is named: the rows shown are those it left wrong.

    When to ignore:
    Never: change the invariant, or give the version until which it holds.

    References:
    https://www.postgresql.org/docs/current/ddl-constraints.html
    """
    seen = evidence.drilled(VerifyEvidence)
    if seen is None:
        return
    for broken in _first_steps(seen.broken):
        invariant, rows = broken.invariant, _rows(broken.count)
        inside = invariant.place.file in (evidence.migration.up.file, getattr(evidence.migration.down, "file", ""))
        yield Observation(
            place=invariant.place if inside else top(evidence.migration.up),
            message=f"{invariant.label} ({invariant.place}) returns {rows} {broken.step}",
            effect="the data is not what it must be by your own word, and later migrations build on it",
            fix=f"correct what {evidence.migration.key} does to these rows, {broken.step}; "
            f"see them with {first_line(invariant.sql, 120)}",
            observed={"step": broken.step, "rows": broken.count, "query": str(invariant.place)},
            details=(*broken.rows, *_more(broken)),
        )
    for broken in seen.before:
        yield Observation(
            place=top(evidence.migration.up),
            message=f"{broken.invariant.label} ({broken.invariant.place}) is not judged here: {_rows(broken.count)} break "
            "it already at the version before",
            effect="whether the migration keeps it is not known: the fake rows know only what the schema demands",
            fix="say it in the schema too, as a CHECK or a trigger, or correct the rows in this migration",
            observed={"step": broken.step, "rows": broken.count, "query": str(broken.invariant.place)},
            details=broken.rows,
            severity=Severity.INFO,
        )


def _first_steps(broken: tuple[BrokenInvariant, ...]) -> Iterator[BrokenInvariant]:
    """Of each invariant the first step at which it broke: the later ones follow from it."""
    told = set()
    for one in broken:
        if one.invariant not in told:
            told.add(one.invariant)
            yield one


def _rows(count: int) -> str:
    return f"{count:,} row{'s' if count != 1 else ''}"


def _more(broken: BrokenInvariant) -> tuple[str, ...]:
    more = broken.count - len(broken.rows)
    return (f"… and {more:,} more",) if more > 0 else ()
