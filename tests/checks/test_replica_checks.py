"""Family 5xx with evidence made by hand: who is reported how, and what is not reported twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_pgmigrate.model.evidence import MigrationEvidence, ReplicaEvidence
from pytest_pgmigrate.model.finding import Finding, Part, Severity
from pytest_pgmigrate.model.judgement import Judgement
from pytest_pgmigrate.model.replica import (
    Guard,
    GuardTrial,
    LagGuards,
    ReaderSeen,
    ReplayCost,
    ReplayedLocks,
    ReplicaReader,
    UnloggedTable,
)
from pytest_pgmigrate.model.watch import StatementSeen
from pytest_pgmigrate.options import Settings
from tests.checks import made

ALTER = made.said("ALTER TABLE orders ADD COLUMN note TEXT", 2, "ALTER TABLE: AddColumn (plain)", relations=["orders"])
UP = made.script("000002_add_note.up.sql", ALTER)
SUBJECT = made.migration(up=UP)
[STATEMENT] = UP.statements


def read(outcome: str, delay: str) -> ReaderSeen:
    sqlstate = "40001" if outcome == "cancelled" else ""
    return ReaderSeen("public.orders", outcome, delay, False, STATEMENT, 0, sqlstate)


def evidence(*seen: object, wal: int = 0) -> MigrationEvidence:
    watched = (StatementSeen(STATEMENT, 0, 0, wal_bytes=wal),)
    return replace(made.clean(SUBJECT, up=made.step(watched=watched)), drills=seen)


def judge(code: str, subject: MigrationEvidence, *others: Finding, settings: Settings | None = None) -> list[Finding]:
    check = made.CHECKS[code]
    given = Judgement(subject, others, True) if check.scope == "judgement" else subject
    return list(check.judge(given, SUBJECT.key, settings or Settings()))


@pytest.mark.parametrize(
    ("outcome", "delay", "severity"),
    [
        ("waited", "30s", Severity.INFO),
        ("waited", "-1", Severity.WARNING),
        ("cancelled", "0", Severity.WARNING),
    ],
)
def test_the_replicas_setting_decides(outcome: str, delay: str, severity: Severity) -> None:
    seen = ReplicaReader((ReplayedLocks(STATEMENT, 0, ("public.orders",)),), (read(outcome, delay),))
    [finding] = judge("PMG503", evidence(seen))
    assert finding.severity is severity
    assert f"max_standby_streaming_delay{' = ' if delay != '30s' else ''}" in finding.message
    assert "replay locked orders AccessExclusive on the replica" in finding.details


def test_a_reader_left_alone_is_no_finding() -> None:
    calm = ReaderSeen("public.orders", "undisturbed", "30s", False)
    assert judge("PMG503", evidence(ReplicaReader(readers=(calm,)))) == []


@pytest.mark.parametrize(
    ("relation", "lock", "severity"),
    [
        ("public.orders", "AccessExclusiveLock", Severity.INFO),
        ("public.users", "AccessExclusiveLock", Severity.WARNING),
        ("public.orders", "ShareLock", Severity.WARNING),
    ],
)
def test_one_cause_one_finding(relation: str, lock: str, severity: Severity) -> None:
    observed: dict[str, object] = {"relation": relation, "lock": lock}
    known = Finding(
        "PMG306", "x", Severity.ERROR, Part.LOCKS, SUBJECT.key, STATEMENT.place, "", "", "", observed=observed
    )
    [finding] = judge("PMG503", evidence(ReplicaReader(readers=(read("cancelled", "0"),))), known)
    assert finding.severity is severity
    assert ("PMG306" in finding.fix) is (severity is Severity.INFO)


@pytest.mark.parametrize(("budget", "found"), [(None, 0), (5000, 0), (4999, 1)])
def test_the_budget_of_wal(budget: int | None, found: int) -> None:
    subject = evidence(ReplicaReader(replay=ReplayCost(5000, 0.25)), wal=5000)
    findings = judge("PMG504", subject, settings=Settings(max_wal_bytes=budget))
    assert len(findings) == found
    if findings:
        assert "5,000 bytes of WAL, 4,999 are allowed" in findings[0].message
        assert findings[0].place == STATEMENT.place
        assert findings[0].observed["replay_seconds"] == 0.25


def guard(*trials: GuardTrial, source: str = "pg_stat_replication") -> LagGuards:
    return LagGuards((Guard(STATEMENT, 0, "check_lag", (source,), trials),))


SHOWN, STOPPED = GuardTrial("shown", False), GuardTrial("shown", True)
PAUSED = GuardTrial("paused", False, seconds=3)


@pytest.mark.parametrize(
    ("seen", "code", "severity"),
    [
        (guard(SHOWN), "PMG506", Severity.WARNING),
        (guard(STOPPED), "", None),
        (guard(STOPPED, PAUSED), "PMG506", Severity.INFO),
        (guard(), "", None),
        (guard(SHOWN, source="pg_last_xact_replay_timestamp"), "PMG505", Severity.ERROR),
        (guard(source="pg_last_wal_replay_lsn"), "PMG505", Severity.ERROR),
    ],
)
def test_guards(seen: LagGuards, code: str, severity: Severity | None) -> None:
    found = {f.code: f.severity for name in ("PMG505", "PMG506") for f in judge(name, evidence(seen))}
    assert found == ({code: severity} if code else {})


def test_unlogged_tables() -> None:
    tables = (UnloggedTable("public.orders", True, 20), UnloggedTable("shop.cache", False))
    subject = replace(evidence(), replica=ReplicaEvidence(True, True, unlogged=tables))
    old, new = judge("PMG507", subject)
    assert (old.severity, new.severity) == (Severity.WARNING, Severity.INFO)
    assert "its 20 rows are gone from the replica" in old.message
    assert "ALTER TABLE orders SET LOGGED" in old.fix
    assert "CREATE TABLE shop.cache without UNLOGGED" in new.fix
