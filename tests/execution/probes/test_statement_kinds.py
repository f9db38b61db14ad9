"""The strongest lock on every relation that existed, and the work done, for each kind of statement on both versions."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.evidence import Step
from pytest_pgmigrate.model.migration import Direction, TransactionRule
from pytest_pgmigrate.model.watch import Relation, StatementSeen
from tests.execution.probes.conftest import Run, migration, opened
from tests.execution.probes.statement_kinds import KINDS, SHORT, Kind

SOURCES = {"pg_locks": "", "internal commit": "@commit", "wal": "@wal", "documented": "@documented"}
NAMES = {mode: name for name, mode in SHORT.items()}

CONCURRENT = (
    "CREATE INDEX CONCURRENTLY x ON p (t)",
    "DROP INDEX CONCURRENTLY p_v",
    "REINDEX INDEX CONCURRENTLY p_v",
    "REINDEX TABLE CONCURRENTLY p",
    "ALTER TABLE pt DETACH PARTITION pt1 CONCURRENTLY",
)


def short(relation: Relation) -> str:
    return relation.name.removeprefix("public.")


def locks(seen: StatementSeen) -> str:
    """In the notation of ``Kind.locks``; TOAST tables follow their table and are left out."""
    found = sorted((short(lock.relation), f"{NAMES[lock.mode]}{SOURCES[lock.source]}") for lock in seen.held)
    return " ".join(f"{name}:{mode}" for name, mode in found if not name.startswith("pg_toast."))


def work(seen: StatementSeen) -> str:
    """In the notation of ``Kind.work``."""
    parts = []
    for count in seen.counts:
        numbers = {"read": count.read, "inserted": count.inserted, "updated": count.updated, "deleted": count.deleted}
        parts += [f"{short(count.relation)}:{name}={number}" for name, number in numbers.items() if number]
    for name in ("rewritten", "rebuilt", "emptied", "built"):
        parts += [f"{name}={short(relation)}" for relation in getattr(seen, name)]
    return " ".join(parts)


def rule(kind: Kind) -> TransactionRule:
    # LOCK TABLE is refused outside a transaction block.
    return TransactionRule.EXPLICIT if kind.sql.startswith("LOCK") else TransactionRule.IMPLICIT


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.sql[:60])
def test_locks_and_work(watch: Run, cluster: Cluster, kind: Kind) -> None:
    step: Step = watch(f"{kind.sql};\n", rule(kind))

    assert (step.error is not None) == kind.fails, step.error
    [seen] = step.watched
    expected = kind.on_15 if kind.on_15 is not None and cluster.version[0] < 18 else kind.locks
    assert (locks(seen), work(seen), seen.stops) == (expected, kind.work, kind.stops)
    assert seen.failed == kind.fails
    assert step.notes == ()


@pytest.mark.parametrize("sql", CONCURRENT)
def test_concurrent_kinds_give_one_result(
    cluster: Cluster, template: str, sql: str, request: pytest.FixtureRequest
) -> None:
    """Held at every internal commit, a statement gives the same answer however often it is asked."""
    repeats = 40 if request.config.getoption("--run-slow") else 3
    results = set()
    for _ in range(repeats):
        with opened(cluster, template) as database:
            step = database.run("up", migration(f"{sql};\n"), Direction.UP, watched=True)
            [seen] = step.watched
            results.add((locks(seen), work(seen), seen.stops, step.error is None))
    assert len(results) == 1, results
