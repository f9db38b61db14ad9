"""A lag guard that asks the wrong server."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.judgement import Judgement
from pytest_pgmigrate.model.migration import Place, Script
from pytest_pgmigrate.model.replica import Guard, LagGuards
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG505", "lag-guard-never-fires", part=Part.REPLICA, severity=Severity.ERROR)
def lag_guard_never_fires(judged: Judgement, settings: Settings) -> Iterator[Observation]:
    """A guard against replica lag reads what only a standby knows, so that on the primary it lets everything through.

    Why it matters:
    pg_last_xact_replay_timestamp() is NULL on a primary, where migrations run, and NULL > 10 is not true. The guard
    never stops a migration, however far the replicas are behind, and everybody relies on it.

    How it is measured:
    The statement, and the functions it calls, read nothing about standbys but such functions. The up is then run in a
    clone whose session is shown a standby that is 1 day and 1 TiB behind; it goes through.

    How to fix:
    Ask pg_stat_replication on the primary: replay_lag, or the bytes between pg_current_wal_lsn() and replay_lsn.

    When to ignore:
    Never: remove the guard instead.

    References:
    https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL
    https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
    """
    seen = judged.evidence.drilled(LagGuards)
    said = {f.observed.get("function") for f in judged.earlier if f.code == "PMG505"}
    for guard in seen.guards if seen is not None else ():
        if guard.stops or not guard.always_null or (guard.function and guard.function in said):
            continue
        said.add(guard.function)
        yield _observation(judged, guard)


def _observation(judged: Judgement, guard: Guard) -> Observation:
    name = guard.null_on_primary[0]
    who = f"{guard.function}()" if guard.function else "the guard"
    return Observation(
        place=_written(judged.evidence.migration.up, guard) or guard.statement.place,
        message=f"{who} can never stop this migration: {name}() is NULL on a primary, whatever the replicas' lag",
        effect="the migration runs into replicas that are far behind already, and its WAL comes on top",
        fix="ask on the primary instead: SELECT max(replay_lag), max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) "
        "FROM pg_stat_replication; and stop where no standby is listed that should be",
        observed={
            "function": guard.function,
            "reads": list(guard.source),
            "called_at": guard.statement.place.line,
            "tried": [trial.how for trial in guard.trials],
            "stopped": False,
        },
        details=(
            f"called by: {first_line(guard.statement.text)} (line {guard.statement.place.line})",
            *(
                "shown a standby 1 day and 1 TiB behind, it let the up through"
                for t in guard.trials
                if t.how == "shown"
            ),
        ),
    )


def _written(script: Script, guard: Guard) -> Place | None:
    """Where the file itself reads the function, in the guard or in the routine that it calls."""
    word = re.compile(rf"\b{guard.null_on_primary[0]}\b", re.IGNORECASE)
    for chunk in script.chunks:
        for statement in chunk.statements:
            match = word.search(_blanked(chunk.text[statement.start : statement.end]))
            if match is not None:
                return chunk.place(statement.start + match.start())
    return None


def _blanked(text: str) -> str:
    """SQL with its line comments blanked out, character for character."""
    return re.sub(r"--[^\n]*", lambda match: " " * len(match[0]), text)
