"""A .sql file that no tool would pick up."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import History, Place
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG109", "unknown-file-name", part=Part.HISTORY, severity=Severity.WARNING)
def unknown_file_name(history: History, settings: Settings) -> Iterator[Observation]:
    """A .sql file in the folder has a name that the migration tool does not recognise.

    Why it matters:
    A typing error in a name (.up.sq1, a missing underscore) makes a migration that is silently never applied.

    How it is measured:
    From the names of the .sql files in the folder.

    How to fix:
    Rename the file or move it elsewhere.

    When to ignore:
    For a file that must stay, by a comment in it: -- pgmigrate: ignore-file[PMG109] <reason>.

    References:
    https://github.com/golang-migrate/migrate/blob/master/MIGRATIONS.md
    """
    for entry in history.files:
        if entry.role == "unknown":
            yield Observation(
                place=Place(entry.file),
                message=f"the name follows no convention of {history.format}: {{version}}_{{description}}.{{up|down}}.sql",
                effect="the migration tool passes over the file without a word; what it holds is never applied",
                fix="rename it to the convention if it is a migration, move it out of the folder if it is not",
                observed={"format": history.format},
                migration="",
            )
