"""A LOCK TABLE that keeps the application out."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, short
from pytest_pgmigrate.checks._hazards import claimed, hazards
from pytest_pgmigrate.checks._locks import (
    blocked_lines,
    keeps_out,
    lock_facts,
    scanned_under,
    watched,
    weigh,
    who_waits,
    written_under,
)
from pytest_pgmigrate.checks._sql import qualified
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _told(evidence: MigrationEvidence, settings: Settings) -> set[tuple[str, int]]:
    """Statements whose lock another finding names already, for what is done under it."""
    works = [*written_under(evidence, settings), *scanned_under(evidence, settings, claimed(evidence))]
    told = {(work.item.step.name, work.lock.since) for work in works}
    return told | {(hazard.item.step.name, hazard.lock.since) for hazard in hazards(evidence)}


@check("PMG326", "explicit-table-lock", part=Part.LOCKS, severity=Severity.WARNING)
def explicit_table_lock(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """LOCK TABLE keeps the application from a table that is in use.

    Why it matters:
    Without a mode it takes AccessExclusiveLock, the strongest: even SELECT waits until the transaction ends. Statements
    that change a table take the lock they need by themselves, and only then.

    How it is measured:
    From the locks that LOCK TABLE took on tables that existed before. Where rows are scanned or written under it, that
    is the finding instead (PMG314, PMG332, PMG341).

    How to fix:
    Remove it. To keep other migrations out, an advisory lock or SHARE UPDATE EXCLUSIVE MODE is enough, which no query
    of the application waits for.

    When to ignore:
    When writes must stand still for a moment, and lock_timeout is short.

    References:
    https://www.postgresql.org/docs/current/sql-lock.html
    """
    told = _told(evidence, settings)
    for item in watched(evidence):
        seen = item.seen
        if seen.statement.kind != "lock_stmt" or seen.failed or (item.step.name, seen.index) in told:
            continue
        locks = [lock for lock in keeps_out(seen.taken) if weigh(item, settings, lock.relation.name) is not None]
        if not locks:
            continue
        names = ", ".join(short(lock.relation.name) for lock in locks)
        yield Observation(
            place=seen.statement.place,
            message=f"LOCK TABLE takes {locks[0].mode.pg} on {names} until the transaction ends",
            effect=who_waits(locks[0]),
            fix="remove it; to keep only other migrations out: "
            f"LOCK TABLE {', '.join(qualified(lock.relation.name) for lock in locks)} IN SHARE UPDATE EXCLUSIVE MODE;",
            observed={**lock_facts(item, locks[0]), "tables": [lock.relation.name for lock in locks]},
            details=(*blocked_lines(seen), f"statement: {first_line(seen.statement.text)}"),
        )
