"""What stays behind when a migration was cut short and run again."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import listed, short
from pytest_pgmigrate.checks._interrupt import cuts, is_leftover_index, leftovers, when
from pytest_pgmigrate.checks._words import describe
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.interrupt import Cut
from pytest_pgmigrate.model.migration import Place
from pytest_pgmigrate.model.state import ObjectChange
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG221", "retry-leaves-leftovers", part=Part.INTERRUPT, severity=Severity.WARNING)
def retry_leaves_leftovers(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """After an interruption and a second run that succeeds, something is there that a clean run does not leave.

    Why it matters:
    REINDEX CONCURRENTLY that was cut short leaves an index named …_ccnew or …_ccold: every write maintains it, no query
    uses it, and the next success hides it. pg_dump does not show an invalid one.

    How it is measured:
    The up is cut short as for PMG220. The state after the second run is compared with that of a clean run, object by object,
    invalid indexes included. What only a late phase leaves (…_ccold) is found with --pgmigrate-crash.

    How to fix:
    Let the file drop the leftover first: DROP INDEX CONCURRENTLY IF EXISTS.

    When to ignore:
    When a job of yours looks for invalid indexes.

    References:
    https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY
    """
    groups: dict[Place, list[tuple[Cut, list[ObjectChange]]]] = {}
    for cut in cuts(evidence):
        left = list(leftovers(cut))
        if cut.retry is None and left and not cut.difference.tables:
            groups.setdefault(cut.statement.place, []).append((cut, left))
    for place, found in groups.items():
        cut, left = found[0]
        names = sorted({short(change.key.name.rsplit(" ", 1)[-1]) for _, changes in found for change in changes})
        indexes = [name for name in names if any(is_leftover_index(c) for c in left)]
        yield Observation(
            place=place,
            message=f"cut short {when(cut)} and run again, the up succeeds and leaves {', '.join(names)}",
            effect="it takes room and time with every write, and nothing says that it is there",
            fix="; ".join(f"DROP INDEX CONCURRENTLY IF EXISTS {name}" for name in indexes)
            or f"let the up drop {', '.join(names)} first, if it is there",
            observed={"objects": names, "cuts": [when(one) for one, _ in found]},
            details=listed(dict.fromkeys(describe(change) for _, changes in found for change in changes)),
        )
