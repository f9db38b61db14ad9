"""A migration file still holds template placeholders."""

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
        effect="the text is not SQL until something fills it in, so nothing of this migration was run",
        fix=defect.fix,
        observed={"defect": defect.kind},
        migration=migration,
    )


@check("PMG108", "template-placeholder", part=Part.HISTORY, severity=Severity.ERROR)
def template_placeholder(history: History, settings: Settings) -> Iterator[Observation]:
    """A migration file still holds template placeholders.

    Why it matters:
    The server gets the placeholder instead of a value: a syntax error at best, a wrong name at worst. The tool that
    fills them in is not the one that reads this folder.

    How it is measured:
    By the lexer, outside string literals, quoted identifiers and dollar-quoted bodies.

    How to fix:
    Commit the rendered SQL, or point --pgmigrate-path at the folder that holds it.

    When to ignore:
    Never: what is not rendered is not judged.

    References:
    https://www.postgresql.org/docs/current/sql-syntax-lexical.html
    """
    for migration in history.migrations:
        for script in (migration.up, migration.down):
            for defect in script.defects if script else ():
                if defect.kind in ("template",):
                    yield _observation(defect, migration.key)
    for script in history.orphans:
        for defect in script.defects:
            if defect.kind in ("template",):
                yield _observation(defect, "")
