"""A query of the user's own files works before the migration and fails after it."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._compat import SIDE_BY_SIDE, breaks, observation
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG604", "query-breaks", part=Part.COMPAT, severity=Severity.ERROR)
def query_breaks(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A query of the application, from its query files, works before the migration and fails after it.

    Why it matters:
    Here nothing is imagined: the application sends this query, and the migration breaks it.

    How it is measured:
    Every file of the setting pgmigrate_queries is run at the version before, with values that the columns hold for its
    parameters; those that work are run again after the up. One that does not work before is counted as not judged.

    How to fix:
    Expand and contract, as the finding says. When no release sends the query any more, delete its file.

    When to ignore:
    When the file is that of a release which is gone; better delete it.

    References:
    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    for one in breaks(evidence):
        if not one.queries:
            continue
        first, more = one.queries[0], len(one.queries) - 1
        named = f"{first.file}:{first.line}" + (f" and {more} more" if more else "")
        yield observation(
            evidence,
            one,
            f"the application's query {named} works before this migration and fails after it: {first.message}",
            effect=f"the query fails {SIDE_BY_SIDE}",
        )
