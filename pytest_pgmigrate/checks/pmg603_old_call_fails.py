"""A function that the release before calls fails."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import short
from pytest_pgmigrate.checks._compat import breaks, observation, server_words
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG603", "old-call-fails", part=Part.COMPAT, severity=Severity.ERROR)
def old_call_fails(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A function can no longer be called as the release before calls it.

    Why it matters:
    A function with other arguments is another function, and a body that names what is gone fails only when it runs.

    How it is measured:
    Functions that the up changes, or that name a table it changes, are called with plausible arguments at the version
    before, where it must work, and again after the up.

    How to fix:
    Make the new function beside the old one, and drop the old one in a later release. New arguments at the end with
    defaults keep old calls working.

    When to ignore:
    When only migrations call the function.

    References:
    https://www.postgresql.org/docs/current/xfunc-overload.html
    """
    for one in breaks(evidence):
        if one.cause == "call" and not one.queries:
            yield observation(
                evidence,
                one,
                f"calls of {short(one.object)} as the release before makes them fail: {server_words(one)}",
            )
