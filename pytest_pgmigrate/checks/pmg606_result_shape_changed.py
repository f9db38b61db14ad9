"""SELECT * gives other columns than before."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import short, top
from pytest_pgmigrate.checks._compat import breaks
from pytest_pgmigrate.model.compat import CompatEvidence, Reshaped
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Place
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG606", "result-shape-changed", part=Part.COMPAT, severity=Severity.INFO)
def result_shape_changed(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A result has other columns or types than before: SELECT * of a changed table, or a query of the user's.

    Why it matters:
    A session that keeps prepared statements, as many drivers and pools do, gets "cached plan must not change result
    type" once for each of them; code that reads rows by position reads the wrong ones.

    How it is measured:
    SELECT * of each changed table on which nothing else breaks, and each query file, is prepared before the up and
    executed after it. Information; a warning for a query file.

    How to fix:
    Name the columns in the query. Change types in a new column beside the old one.

    When to ignore:
    When the driver prepares anew by itself, and nothing reads columns by position.

    References:
    https://www.postgresql.org/docs/current/sql-prepare.html
    """
    compat = evidence.drilled(CompatEvidence)
    found = compat.reshaped if compat is not None else ()
    place = _first(evidence)
    # Whatever names a column that is gone fails anyway (PMG601).
    broken = {one.relation for one in breaks(evidence)}
    tables = [one for one in found if not one.file and one.relation not in broken]
    if tables:
        names = ", ".join(short(one.relation) for one in tables)
        yield _observation(place, tables[0], f"SELECT * FROM {names} gives other columns than before", None)
    for one in found:
        if one.file:
            message = f"the query {one.file}:{one.line} gives other columns than before"
            yield _observation(place, one, message, Severity.WARNING)


def _observation(place: Place, one: Reshaped, message: str, severity: Severity | None) -> Observation:
    return Observation(
        place=place,
        message=f"{message}: a session that prepared it gets {one.plan!r}",
        effect="such a statement fails once in every session that prepared it before the deploy",
        fix="name the columns in the query, or let the driver prepare anew (close the pool's connections)",
        observed={"relation": one.relation, "file": one.file, "message": one.plan},
        severity=severity,
    )


def _first(evidence: MigrationEvidence) -> Place:
    up = evidence.migration.up
    altering = (s for s in up.statements if s.kind.lower().startswith(("alter", "drop", "create or replace")))
    return next((s.place for s in altering), up.statements[0].place if up.statements else top(up))
