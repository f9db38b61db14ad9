"""A migration without a way back."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import History, Place, Script
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _made(up: Script) -> str:
    names = [name for statement in up.statements for name in statement.creates]
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "") if names else "what the up does"


@check("PMG101", "missing-down", part=Part.HISTORY, severity=Severity.ERROR)
def missing_down(history: History, settings: Settings) -> Iterator[Observation]:
    """An up file has no down file beside it.

    Why it matters:
    Rolling a release back means running the downs. Without one the tool stops, and the way back is improvised while
    users wait.

    How it is measured:
    From the file names: an up is paired with the down of the same version and description.

    How to fix:
    Write the down. Where there truly is no way back, say so with a reason in the up file: -- pgmigrate:
    irreversible <reason>.

    When to ignore:
    Use the irreversible directive rather than ignoring: its reason is printed in every report.

    References:
    https://github.com/golang-migrate/migrate/blob/master/MIGRATIONS.md
    """
    for migration in history.migrations:
        if migration.down is not None or migration.up.directive("irreversible"):
            continue
        wanted = migration.up.file.replace(".up.", ".down.")
        yield Observation(
            place=Place(migration.up.file),
            message=f"version {migration.version} has no down file: {wanted.rsplit('/', 1)[-1]} does not exist",
            effect="a bad release cannot be rolled back by the tool; somebody writes SQL by hand during the outage",
            fix=f"write {wanted.rsplit('/', 1)[-1]} undoing {_made(migration.up)}; or say why there is no way back: "
            "-- pgmigrate: irreversible <reason>",
            observed={"version": migration.version, "expected_file": wanted},
            migration=migration.key,
        )
