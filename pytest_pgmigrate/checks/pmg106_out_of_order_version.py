"""A new migration numbered before applied ones."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import History, Place
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _number(version: str) -> tuple[int, ...]:
    digits = "".join(c if c.isdigit() else " " for c in version).split()
    return tuple(int(part) for part in digits) or (0,)


@check("PMG106", "out-of-order-version", part=Part.HISTORY, severity=Severity.ERROR)
def out_of_order_version(history: History, settings: Settings) -> Iterator[Observation]:
    """A migration that was not applied yet has a version below one that was.

    Why it matters:
    golang-migrate remembers one version: it never goes back for a lower one. Other tools apply it late, in an order
    that nobody tested. It comes from branches that lived long.

    How it is measured:
    The versions in pgmigrate_ledger, or those at the git merge-base with the default branch, against the folder.

    How to fix:
    Give the migration a version after the latest one before merging.

    When to ignore:
    When the tool applies missing versions in any order and the two migrations touch nothing in common.

    References:
    https://github.com/golang-migrate/migrate/blob/master/MIGRATIONS.md
    """
    record = history.record
    if record.source == "none" or not record.rows:
        return
    applied = {_number(row.version) for row in record.rows if row.success}
    files = {row.filename.rsplit("/", 1)[-1] for row in record.rows if row.filename}
    if not applied:
        return
    latest = max(applied)
    for migration in history.migrations:
        name = migration.up.file.rsplit("/", 1)[-1]
        number = _number(migration.version)
        if number in applied or name in files or number > latest:
            continue
        yield Observation(
            place=Place(migration.up.file),
            message=f"version {migration.version} is new, but a later version is applied already",
            effect="tools that remember only the latest version skip it for ever; others apply it in another order than "
            "it is tested in",
            fix=f"renumber {name} and its down after the latest applied version",
            observed={"version": migration.version, "applied": len(applied), "source": record.source},
            migration=migration.key,
        )
