"""A file of invariants that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import History
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG723", "invariant-unusable", part=Part.HISTORY, severity=Severity.ERROR)
def invariant_unusable(history: History, settings: Settings) -> Iterator[Observation]:
    """A file of pgmigrate_verify cannot be read, holds no single query, or names a version that does not exist.

    Why it matters:
    The file is taken for a guard, and guards nothing.

    How it is measured:
    From the files alone: each must be UTF-8 text with one statement, and the versions in its name or first line must be
    versions of the history. Shown with the last migration.

    How to fix:
    Correct the file or its name: 000012_name.sql holds from version 000012 on, 000012-000020_name.sql until 000020.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/sql-select.html
    """
    for invariant in history.invariants:
        if invariant.problem and history.migrations:
            yield Observation(
                place=invariant.place,
                message=f"{invariant.label} is not asked: {invariant.problem}",
                effect="what it guards is unguarded",
                fix="write one query a file that returns the rows that must not be, and name it "
                "000012_name.sql or 000012-000020_name.sql by the versions at which it holds",
                observed={"problem": invariant.problem},
                migration=history.migrations[-1].key,
            )
