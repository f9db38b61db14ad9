"""Some values that the release before may write are refused from now on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import last_part, short
from pytest_pgmigrate.checks._compat import SIDE_BY_SIDE, breaks, observation, server_words
from pytest_pgmigrate.model.compat import Break
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG605", "old-values-refused", part=Part.COMPAT, severity=Severity.WARNING)
def old_values_refused(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Values that the version before takes, and that the old release may write, are refused after the up.

    Why it matters:
    Rows that are there can be corrected before; what the old release writes during the deploy cannot. If it still
    writes NULL, or leaves the column to a default that is gone, those requests fail.

    How it is measured:
    Plausible rows made for the version before are inserted after the up; some are refused, others not. Columns that
    become NOT NULL or lose their default are tried with NULL and left out. Rows that PMG701 speaks of already are not
    told again.

    How to fix:
    See that the release before writes only what the new schema takes; then say so with
    -- pgmigrate: contract, needs=<version> <reason>.

    When to ignore:
    When the application never writes such values: say so in the reason.

    References:
    https://www.postgresql.org/docs/current/ddl-constraints.html
    """
    for one in breaks(evidence):
        if one.cause == "value" and not one.queries and not _known(evidence, one):
            yield observation(
                evidence, one, _message(one), effect=f"an INSERT or UPDATE with such a value fails {SIDE_BY_SIDE}"
            )


def _message(one: Break) -> str:
    column = short(one.object)
    if one.value == "NULL":
        return f"the release before may write NULL into {column}, which is refused from now on"
    if one.value == "left out":
        return f"the release before may leave {column} to its default, which is gone: {server_words(one)}"
    found = one.statements[0]
    count = f"{found.refused} of {found.tried} rows" if found.tried > 1 else "a row"
    return f"{found.kind} of the release before on {short(one.relation)}: {count} as it may write them are refused, {found.message}"


def _known(evidence: MigrationEvidence, one: Break) -> bool:
    """Whether the up was found to take for granted that there are no such rows (PMG701)."""
    for assumed in evidence.edge.assumptions:
        if assumed.direction is not Direction.UP:
            continue
        if any(f"{row.table}.{row.column}" == one.object for row in assumed.rows):
            return True
        words = re.findall(r"[\w$]+", assumed.error.message.lower())
        if one.subject and last_part(one.subject) in words:
            return True
    return False
