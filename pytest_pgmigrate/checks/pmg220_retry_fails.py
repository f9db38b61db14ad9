"""A migration that cannot be run again after it was cut short."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import error_details, error_facts, first_line
from pytest_pgmigrate.checks._interrupt import cuts, describe_left, when
from pytest_pgmigrate.model.evidence import MigrationEvidence, ServerError
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.interrupt import Cut
from pytest_pgmigrate.model.migration import Place
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_ADVICE = {
    "42701": "write ADD COLUMN IF NOT EXISTS",
    "42P07": "drop what an earlier attempt left first (DROP … IF EXISTS), then create it",
    "42710": "drop what an earlier attempt left first (DROP … IF EXISTS), then create it",
    "42704": "write DROP … IF EXISTS",
    "42703": "write DROP COLUMN IF EXISTS",
    "42P01": "write DROP … IF EXISTS",
    "23505": "write INSERT … ON CONFLICT DO NOTHING, or insert only rows that are not there yet",
    "55000": "finish the pending detach first: ALTER TABLE … DETACH PARTITION … FINALIZE",
}


@check("PMG220", "retry-fails", part=Part.INTERRUPT, severity=Severity.WARNING)
def retry_fails(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The up was cut short, and running it again fails.

    Why it matters:
    A time-out, a lost connection or a deploy that is killed leaves the first statements done. The runner tries again and
    stops at what is there already: somebody has to finish by hand, at night.

    How it is measured:
    Only where the up is more than one transaction. In clones, the session is ended after each statement (between the
    batches of a DO or CALL too), and lock_timeout strikes behind an open writer of each table the up waits for; with
    --pgmigrate-crash a copy of the server is crashed after each commit, those inside a statement included, and started
    again. Then the whole up runs again as the tool sends it. A crash after the very last commit is not judged here: that
    run again is the one of PMG204.

    How to fix:
    Let every statement stand being run twice (IF NOT EXISTS, DROP … IF EXISTS first, ON CONFLICT DO NOTHING), or keep one
    statement to a file.

    When to ignore:
    When a person is to look before anything is run again: the failure is loud and nothing is lost.

    References:
    https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    """
    groups: dict[Place, list[tuple[Cut, ServerError]]] = {}
    for cut in cuts(evidence):
        if cut.retry is not None:
            groups.setdefault(cut.retry.place, []).append((cut, cut.retry))
    for place, found in groups.items():
        cut, error = found[0]
        others = len(found) - 1
        more = f" or at {others} other place{'s' if others > 1 else ''}" if others else ""
        yield Observation(
            place=place,
            message=f"cut short {when(cut)}{more}, the up cannot be run again: {error.message}",
            effect="after a time-out or a killed deploy somebody has to undo by hand what was done before it goes on",
            fix=f"{_ADVICE.get(error.sqlstate, 'let the statement stand being run twice')}"
            + (f": {first_line(error.statement.text, 60)}" if error.statement is not None else ""),
            observed={**error_facts(error), "cuts": [when(one) for one, _ in found]},
            details=(*describe_left(cut.left), *error_details(error)),
        )
