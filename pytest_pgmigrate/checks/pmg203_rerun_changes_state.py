"""An up that changes something when it runs twice."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import data_changes, listed, maker, top, writer
from pytest_pgmigrate.checks._rows import counts, row_lines
from pytest_pgmigrate.checks._words import differs
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _advice(text: str, file: str) -> str:
    words = text.split(None, 1)
    verb = words[0].upper() if words else ""
    if verb == "INSERT":
        return "give the rows a unique key and add ON CONFLICT DO NOTHING, or insert only WHERE NOT EXISTS"
    if verb == "UPDATE":
        return "add a WHERE that only the old value satisfies, so that a second run finds nothing to do"
    return f"make {file.rsplit('/', 1)[-1]} either change nothing or fail as a whole when it is run again"


@check("PMG203", "rerun-changes-state", part=Part.RERUN, severity=Severity.ERROR)
def rerun_changes_state(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The up, run again without a down, ran and changed something.

    Why it matters:
    Tools crash between running a file and writing their version down, and then run it again. Rows are doubled,
    values are transformed twice.

    How it is measured:
    After up, down and up the same file is sent once more; the state before and after (catalog, rows, sequences) is
    compared.

    How to fix:
    Make the change conditional on what it changes (WHERE the old value, ON CONFLICT DO NOTHING with a key), or let
    it be refused as a whole (CREATE without IF NOT EXISTS in the same transaction).

    When to ignore:
    Never: a refused second run is fine, a silent one is not.

    References:
    https://www.postgresql.org/docs/current/sql-begin.html
    """
    step = evidence.rerun
    if step is None or not step.ran or not step.difference:
        return
    rows = data_changes(step)
    objects = step.difference.objects
    if not rows and not objects and not step.difference.roles:
        return
    statement = next((s for s in (writer(c, evidence.migration.up) for c in rows) if s), None) or next(
        (s for s in (maker(c, evidence.migration.up) for c in objects) if s), None
    )
    changed = listed([*map(counts, rows), *map(differs, (*objects, *step.difference.roles))])
    how = "failed part way and left a change" if step.error else "ran again and changed something"
    yield Observation(
        place=statement.place if statement else top(evidence.migration.up),
        message=f"a second run of the up {how}: {changed[0]}",
        effect="when a deploy is retried after a crash, data is doubled or transformed twice without any error",
        fix=_advice(statement.text if statement else "", evidence.migration.up.file),
        observed={"tables": [c.table for c in rows], "objects": [str(c.key) for c in objects]},
        details=(*changed, *(line for c in rows for line in row_lines(c))),
    )
