"""A migration file cannot be read as UTF-8 text."""

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
        effect="the migration cannot be sent to a server by any tool",
        fix=defect.fix,
        observed={"defect": defect.kind},
        migration=migration,
    )


@check("PMG107", "unreadable-file", part=Part.HISTORY, severity=Severity.ERROR)
def unreadable_file(history: History, settings: Settings) -> Iterator[Observation]:
    """A migration file cannot be read as UTF-8 text.

    Why it matters:
    The tool that deploys would fail on it, or send other bytes than the author meant.

    How it is measured:
    By reading the file: links to nowhere, directories, permissions, NUL bytes, invalid UTF-8.

    How to fix:
    Save the file as UTF-8 text, make it readable, and replace a link to nowhere by the file.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/multibyte.html
    """
    for migration in history.migrations:
        for script in (migration.up, migration.down):
            for defect in script.defects if script else ():
                if defect.kind in ("unreadable",):
                    yield _observation(defect, migration.key)
    for script in history.orphans:
        for defect in script.defects:
            if defect.kind in ("unreadable",):
                yield _observation(defect, "")
