"""A lag guard that sees the lag and goes on."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.replica import Guard, LagGuards
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG506", "lag-guard-does-not-stop", part=Part.REPLICA, severity=Severity.WARNING)
def lag_guard_does_not_stop(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A guard against replica lag sees a standby that is far behind, and the migration runs through all the same.

    Why it matters:
    A guard that only warns, compares the wrong way round or swallows its own exception is none.

    How it is measured:
    The up runs in a clone whose session is shown a standby 1 day and 1 TiB behind, and the guard was seen to look. A
    threshold that is a setting of yours (current_setting) is also set to 0 while replay is really held back; with
    --pgmigrate-lag-drill it is held back for that long and nothing else is changed.

    How to fix:
    RAISE EXCEPTION when replay_lag or the bytes behind are beyond the threshold.

    When to ignore:
    When it is only meant to be read by a person: say so in the reason.

    References:
    https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
    """
    seen = evidence.drilled(LagGuards)
    for guard in seen.guards if seen is not None else ():
        if guard.always_null or not guard.trials:
            continue
        if not guard.stops:
            yield _passes(guard)
            continue
        late = [trial for trial in guard.trials if trial.how == "paused" and not trial.stopped]
        if late:
            yield _later(guard, late[0].seconds)


def _who(guard: Guard) -> str:
    return f"{guard.function}()" if guard.function else "the guard"


def _passes(guard: Guard) -> Observation:
    tried = " and ".join(_TRIED[trial.how].format(trial.seconds) for trial in guard.trials)
    return Observation(
        place=guard.statement.place,
        message=f"{_who(guard)} lets the migration through {tried}",
        effect="the migration runs into replicas that are far behind already, and its WAL comes on top",
        fix="RAISE EXCEPTION in the guard when replay_lag or pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) is too large",
        observed=_facts(guard),
        details=(f"statement: {first_line(guard.statement.text)}",),
    )


def _later(guard: Guard, seconds: float) -> Observation:
    return Observation(
        place=guard.statement.place,
        message=f"{_who(guard)} lets the migration through with replay held back for {seconds:g} s; a larger lag stops it",
        effect="below its threshold the migration adds to the lag",
        fix="give --pgmigrate-lag-drill more than the guard's threshold, or lower the threshold",
        observed=_facts(guard),
        details=(f"statement: {first_line(guard.statement.text)}",),
        severity=Severity.INFO,
    )


def _facts(guard: Guard) -> dict[str, object]:
    return {
        "function": guard.function,
        "reads": list(guard.source),
        "trials": [{"how": t.how, "stopped": t.stopped, "seconds": t.seconds} for t in guard.trials],
    }


_TRIED = {
    "shown": "though it sees a standby 1 day and 1 TiB behind",
    "setting": "with its threshold at 0 and replay held back",
    "paused": "with replay held back for {:g} s",
}
