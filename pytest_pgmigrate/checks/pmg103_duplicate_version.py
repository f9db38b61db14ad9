"""Two migrations with one version."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import History, Migration, Place
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG103", "duplicate-version", part=Part.HISTORY, severity=Severity.ERROR)
def duplicate_version(history: History, settings: Settings) -> Iterator[Observation]:
    """Two up files carry the same version.

    Why it matters:
    golang-migrate and most other tools refuse such a folder; those that do not apply one of the two and never the
    other. It happens when two branches are merged.

    How it is measured:
    From the file names; versions are compared as numbers, so 1 and 000001 are the same.

    How to fix:
    Renumber the younger one, up and down.

    When to ignore:
    Never.

    References:
    https://github.com/golang-migrate/migrate/blob/master/MIGRATIONS.md
    """
    seen: dict[str, Migration] = {}
    for migration in history.migrations:
        number = migration.version.lstrip("vV").lstrip("0") or "0"
        first = seen.setdefault(number, migration)
        if first is migration:
            continue
        yield Observation(
            place=Place(migration.up.file),
            message=f"version {migration.version} is already taken by {first.up.file.rsplit('/', 1)[-1]}",
            effect="a tool that tracks versions refuses the folder or applies only one of the two, and which one "
            "depends on the order of the files",
            fix=f"give {migration.up.file.rsplit('/', 1)[-1]} and its down the next free version",
            observed={"version": migration.version, "first": first.up.file},
            migration=migration.key,
        )
