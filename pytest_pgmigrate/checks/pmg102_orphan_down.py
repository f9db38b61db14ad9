"""A down that undoes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import History, Place
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG102", "orphan-down", part=Part.HISTORY, severity=Severity.ERROR)
def orphan_down(history: History, settings: Settings) -> Iterator[Observation]:
    """A down file has no up file of its version.

    Why it matters:
    Tools pair the two files by version. A typing error in one of them leaves a migration that cannot be undone and
    a down that never runs.

    How it is measured:
    From the file names.

    How to fix:
    Rename one of the two files so that version and description agree, or delete the down.

    When to ignore:
    Hardly ever; a leftover file is better deleted.

    References:
    https://github.com/golang-migrate/migrate/blob/master/MIGRATIONS.md
    """
    for entry in history.files:
        if entry.role != "orphan-down":
            continue
        near = [m for m in history.migrations if m.name == entry.name or m.version == entry.version]
        hint = f"; {near[0].up.file.rsplit('/', 1)[-1]} looks like its up" if near else ""
        yield Observation(
            place=Place(entry.file),
            message=f"no up file belongs to this down (version {entry.version}){hint}",
            effect="migration tools pair files by version: this down never runs, or runs against another migration's up",
            fix=f"give both files the same version and description, or delete {entry.file.rsplit('/', 1)[-1]}",
            observed={"version": entry.version, "similar": [m.up.file for m in near]},
            migration="",
        )
