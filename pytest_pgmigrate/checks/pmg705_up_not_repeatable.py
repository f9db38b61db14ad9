"""An up whose result depends on the order of rows on disk, or on chance."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import short, top, writer
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.state import TableChange
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG705", "up-not-repeatable", part=Part.DATA, severity=Severity.WARNING)
def up_not_repeatable(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The up gives other data on a copy of the same rows that lie in another order.

    Why it matters:
    What was rehearsed on staging is not what production gets, and nobody can tell afterwards whether the data is right.

    How it is measured:
    In a clone about half the rows of each table are moved behind the others, as any UPDATE does; the up runs there too.
    Clock values and generated keys are left out of the comparison; rows are matched by primary key.

    How to fix:
    Give every statement that picks or numbers rows an ORDER BY that ends in a unique column, and write no random()
    values but as defaults of keys.

    When to ignore:
    When any choice is right (tokens, samples): say so in the reason.

    References:
    https://www.postgresql.org/docs/current/queries-order.html
    """
    for one in evidence.unsteady:
        statement = writer(TableChange(one.table, 0, 0), evidence.migration.up)
        columns = ", ".join(one.columns) or "rows"
        verb = "depends" if len(one.columns) == 1 else "depend"
        yield Observation(
            place=statement.place if statement else top(evidence.migration.up),
            message=f"{short(one.table)}: {columns} {verb} on the order in which rows lie on disk, or on chance",
            effect="production gets other data than every rehearsal, and a second run other data again",
            fix=f"order the rows that {short(one.table)} is filled from by a unique column (ORDER BY …, id), "
            "and use no random values",
            observed={"table": one.table, "columns": one.columns},
            details=one.examples,
        )
