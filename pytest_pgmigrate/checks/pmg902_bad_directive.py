"""A pgmigrate directive cannot be understood, or gives no reason."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import History, Script
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _observations(script: Script, migration: str) -> Iterator[Observation]:
    obeyed = {directive.place for directive in script.directives}
    for defect in script.defects:
        if defect.kind == "directive":
            without_reason = defect.place in obeyed
            yield Observation(
                place=defect.place,
                message=defect.message,
                effect="it is obeyed, and nobody can review why" if without_reason else "the directive has no effect",
                fix=defect.fix,
                observed={"defect": defect.kind, "obeyed": without_reason},
                migration=migration,
            )


@check("PMG902", "bad-directive", part=Part.HISTORY, severity=Severity.ERROR)
def bad_directive(history: History, settings: Settings) -> Iterator[Observation]:
    """A pgmigrate directive cannot be understood, or gives no reason.

    Why it matters:
    A directive that is not understood silences nothing, and one without a reason cannot be reviewed.

    How it is measured:
    By the grammar `-- pgmigrate: word[args] reason`; known words are ignore, ignore-file, irreversible,
    no-transaction, contract (with needs=<version> before its reason) and verify, whose reason is SQL. Without a reason
    irreversible and no-transaction are obeyed all the same.

    How to fix:
    Correct the word, give the codes or names in brackets, and write the reason after them.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-COMMENTS
    """
    for migration in history.migrations:
        for script in (migration.up, migration.down):
            if script is not None:
                yield from _observations(script, migration.key)
    for script in history.orphans:
        yield from _observations(script, "")
