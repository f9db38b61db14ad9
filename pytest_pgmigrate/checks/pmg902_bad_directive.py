"""A pgmigrate directive cannot be understood, or gives no reason."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Defect, History
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _observation(defect: Defect, migration: str) -> Observation:
    return Observation(
        place=defect.place,
        message=defect.message,
        effect="the directive has no effect",
        fix=defect.fix,
        observed={"defect": defect.kind},
        migration=migration,
    )


@check("PMG902", "bad-directive", part=Part.HISTORY, severity=Severity.ERROR)
def bad_directive(history: History, settings: Settings) -> Iterator[Observation]:
    """A pgmigrate directive cannot be understood, or gives no reason.

    Why it matters:
    A directive that is not understood silences nothing, and one without a reason cannot be reviewed.

    How it is measured:
    By the grammar `-- pgmigrate: word[args] reason`; known words are ignore, ignore-file, irreversible, no-
    transaction, contract (with needs=<version> before its reason) and verify, whose
    reason is SQL.

    How to fix:
    Correct the word, give the codes or names in brackets, and write the reason after them.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-COMMENTS
    """
    for migration in history.migrations:
        for script in (migration.up, migration.down):
            for defect in script.defects if script else ():
                if defect.kind in ("directive",):
                    yield _observation(defect, migration.key)
    for script in history.orphans:
        for defect in script.defects:
            if defect.kind in ("directive",):
                yield _observation(defect, "")
