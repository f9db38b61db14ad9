"""What the release before writes is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_pgmigrate.checks._common import short
from pytest_pgmigrate.checks._compat import breaks, kinds, observation, server_words
from pytest_pgmigrate.model.compat import Break
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG602", "old-writes-fail", part=Part.COMPAT, severity=Severity.ERROR)
def old_writes_fail(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """INSERT, UPDATE or SELECT as the release before sends them fails, though every name is still there.

    Why it matters:
    A new column that is NOT NULL without a default, a type that cannot read the old values, a CHECK that refuses all of
    them: until the last instance of the old release is replaced, its users get errors.

    How it is measured:
    Rows as the old release would write them, and rows that are there, are written at the version before, where it must
    work, and again after the up. An error when every row is refused, and no row can be made that both versions take;
    a warning when every DELETE is.

    How to fix:
    Let the new schema take what the old release writes until it is gone: a default, a nullable column, a new column
    beside the old one, a CHECK that accepts both. Make it strict in a later release.

    When to ignore:
    When the application is stopped during the deploy.

    References:
    https://www.postgresql.org/docs/current/ddl-constraints.html
    """
    for one in breaks(evidence):
        if one.queries or one.cause not in ("refused", "delete"):
            continue
        # A materialized view without data is another finding (PMG704).
        if one.statements[0].sqlstate == "55000":
            continue
        seen = observation(
            evidence, one, f"{kinds(one.statements)} of the release before on {short(one.relation)}: {_why(one)}"
        )
        yield replace(seen, severity=Severity.WARNING) if one.cause == "delete" else seen


def _why(one: Break) -> str:
    column, first = short(one.object), one.statements[0]
    if first.sqlstate == "23502" and not one.type_before and one.kind == "column":
        return f"every row is refused, for it does not know {column}, which is NOT NULL and has no default"
    if one.type_before and one.type_now and one.type_before != one.type_now:
        return f"every row is refused, for {column} is {one.type_now} now, was {one.type_before} ({server_words(one)})"
    what = "fails" if first.kind == "SELECT" else "every row is refused"
    return f"{what}, {server_words(one)}"
