"""A contraction that does not come after what it needs."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Directive, History, Migration
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG608", "contract-too-early", part=Part.HISTORY, severity=Severity.ERROR)
def contract_too_early(history: History, settings: Settings) -> Iterator[Observation]:
    """A contract directive needs a version that is unknown, does not lie before it, or is not released yet.

    Why it matters:
    A contraction is safe once the expansion has been live with a release that uses it. In one deploy together they are
    a plain rename.

    How it is measured:
    The version after needs= must be that of an earlier migration of the same history. Where it is known what production
    has (the ledger, or the merge-base in git) and the contraction itself is new, the expansion must be there already: a
    warning otherwise, for both may yet be deployed one after the other. Where it is not known, the run lists that.

    How to fix:
    Correct the version; ship the contraction in a later release than the expansion.

    When to ignore:
    When a merge-base is no release of yours, because every migration is deployed by itself.

    References:
    https://www.postgresql.org/docs/current/ddl-alter.html
    """
    for migration in history.migrations:
        for directive in migration.up.directives:
            for version in directive.args if directive.word == "contract" else ():
                problem = _problem(history, migration, version)
                if problem is not None:
                    yield _observation(migration, directive, version, *problem)


Problem = tuple[str, str, Severity]
"""What is wrong, what to do, and how bad it is."""


def _problem(history: History, migration: Migration, version: str) -> Problem | None:
    """What is wrong with ``needs=version``."""
    needed = next((m for m in history.migrations if _same(m, version)), None)
    if needed is None:
        known = ", ".join(m.version for m in history.migrations[max(migration.index - 3, 0) : migration.index])
        near = f"; the ones right before it are {known}" if known else ""
        fix = f"name the version of the migration that expanded{near}"
        return "there is no such migration", fix, Severity.ERROR
    if needed.index >= migration.index:
        fix = "name an earlier migration, or move the contraction behind it"
        return "it does not lie before this one", fix, Severity.ERROR
    released = {row.version.lstrip("0") for row in history.record.rows if row.success}
    if not released or migration.version.lstrip("0") in released or needed.version.lstrip("0") in released:
        return None
    return (
        f"neither of the two is released yet ({history.record.source}: {history.record.detail}): they go out in one deploy",
        f"ship {needed.key} first, with a release that uses it, and {migration.key} in a later one",
        Severity.WARNING,
    )


def _same(migration: Migration, version: str) -> bool:
    return version == migration.key or version.lstrip("0") == migration.version.lstrip("0")


def _observation(
    migration: Migration, directive: Directive, version: str, problem: str, fix: str, severity: Severity
) -> Observation:
    return Observation(
        place=directive.place,
        message=f"the contraction needs {version}, and {problem}",
        effect="the old release may still use what is taken away",
        fix=fix,
        observed={"needs": version, "reason": directive.reason},
        migration=migration.key,
        severity=severity,
    )
