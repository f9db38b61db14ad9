"""The release before names something that the migration renames or drops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_pgmigrate.checks._common import first_line, short
from pytest_pgmigrate.checks._compat import SIDE_BY_SIDE, breaks, kinds, observation, server_words
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG601", "old-names-gone", part=Part.COMPAT, severity=Severity.ERROR)
def old_names_gone(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A table, column, view or function that the release before names is renamed or dropped.

    Why it matters:
    In a rolling deploy the old release serves beside the new schema for minutes. What is renamed is in use, so its
    statements fail; what is dropped may be.

    How it is measured:
    Statements as the old release sends them (every column named, values of rows as it would write) are run at the
    version before, where they must work, and again after the up. Renamed is an error. Dropped is a warning unless
    something else shows that it is used: a function that still names it, or a query file (PMG604). Of dropped tables
    that nothing shows to be used PMG323 speaks.

    How to fix:
    Expand and contract: add the new name beside the old one, write both, copy the old values, read the new one, and
    take the old one away in a later release. Declare that step with -- pgmigrate: contract, needs=<version> <reason>.

    When to ignore:
    When the application is stopped during the deploy.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html
    """
    for one in breaks(evidence):
        if one.queries or one.cause not in ("renamed", "dropped"):
            continue
        failing = kinds(one.statements)
        if one.cause == "renamed":
            said = f"{short(one.object)} is renamed to {short(one.now)}"
            yield observation(
                evidence,
                one,
                f"{said}: {failing} of the release before fail ({server_words(one)})"
                if failing
                else f"{said}, and the release before still names it",
            )
            continue
        if one.kind == "table" and all(found.kind != "CALL" for found in one.statements):
            continue  # PMG323 says that.
        calling = next((s for s in one.statements if s.kind == "CALL" and one.kind != "function"), None)
        names = f"{first_line(calling.sql)} still needs it and fails" if calling else "whatever still names it fails"
        seen = observation(
            evidence,
            one,
            f"{one.kind} {short(one.object)} is dropped: {names} ({server_words(one)})",
            effect=f"every statement of the old release that names it fails {SIDE_BY_SIDE}",
        )
        yield seen if calling else replace(seen, severity=Severity.WARNING)
