"""A number missing in a contiguous history."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import History, Place
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _contiguous(numbers: list[int]) -> bool:
    """Small numbers of which nearly all follow their predecessor; timestamps and 10, 20, 30 are something else."""
    steps = [after - before for before, after in itertools.pairwise(numbers) if after != before]
    ones = sum(step == 1 for step in steps)
    return bool(steps) and numbers[0] <= 1000 and ones * 2 >= len(steps)


@check("PMG104", "version-gap", part=Part.HISTORY, severity=Severity.WARNING)
def version_gap(history: History, settings: Settings) -> Iterator[Observation]:
    """A history numbered 1, 2, 3 … leaves a number out.

    Why it matters:
    In a history without gaps a missing number usually means a file lost in a merge or never committed.

    How it is measured:
    Only where the numbering is contiguous: small numbers that rise by one nearly everywhere. Timestamps are not.

    How to fix:
    Bring the file back or renumber those after it that were never applied.

    When to ignore:
    When the number was given up on purpose: -- pgmigrate: ignore-file[PMG104] <reason>.

    References:
    https://github.com/golang-migrate/migrate/blob/master/MIGRATIONS.md
    """
    numbered = [(int(m.version), m) for m in history.migrations if m.version.isdigit()]
    if len(numbered) != len(history.migrations) or not numbered or not _contiguous([n for n, _ in numbered]):
        return
    for (before, _), (number, migration) in itertools.pairwise(numbered):
        if number - before > 1:
            missing = str(before + 1) if number - before == 2 else f"{before + 1} to {number - 1}"
            yield Observation(
                place=Place(migration.up.file),
                message=f"version {missing} is missing before {migration.version}",
                effect="a file may have been lost in a merge; databases that applied it differ from new ones",
                fix=f"bring version {missing} back, or renumber {migration.up.file.rsplit('/', 1)[-1]} if it was never applied",
                observed={"before": before, "version": number},
                migration=migration.key,
            )
