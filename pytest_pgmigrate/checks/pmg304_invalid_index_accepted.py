"""A retry that takes a half-built index for a good one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, last_part
from pytest_pgmigrate.checks._interrupt import cuts, invalid, when
from pytest_pgmigrate.checks._sql import as_sql, qualified, replaced
from pytest_pgmigrate.model.evidence import MigrationEvidence, Step
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.interrupt import Cut
from pytest_pgmigrate.model.migration import Script, Statement
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_ACCEPTS = re.compile(r"\bCONCURRENTLY\s+IF\s+NOT\s+EXISTS\b", re.IGNORECASE)


def _accepting(script: Script) -> Iterator[Statement]:
    """Concurrent builds that skip an index of that name, whatever state it is in, and nothing in the file that looks."""
    for place, statement in enumerate(script.statements):
        concurrently = statement.kind in ("CREATE INDEX CONCURRENTLY", "CREATE UNIQUE INDEX CONCURRENTLY")
        if not concurrently or not statement.creates or not _ACCEPTS.search(as_sql(statement)):
            continue
        name = last_part(statement.creates[0])
        if any(_clears(other, name) for other in script.statements[:place]):
            continue
        if not any(_repairs(other, name) for other in script.statements):
            yield statement


def _clears(statement: Statement, name: str) -> bool:
    return statement.kind.startswith("DROP INDEX") and name in {last_part(found) for found in statement.relations}


def _repairs(statement: Statement, name: str) -> bool:
    """REINDEX of the index, or a look at ``pg_index.indisvalid``."""
    named = {last_part(found) for found in statement.relations}
    return "indisvalid" in statement.text or (statement.kind.startswith("REINDEX") and name in named)


def _seen_invalid(evidence: MigrationEvidence, name: str) -> list[Cut]:
    """The interruptions after which the second run took the invalid index for a good one."""
    return [
        cut
        for cut in cuts(evidence)
        if cut.retry is None and any(last_part(change.key.name) == name for change in invalid(cut))
    ]


@check("PMG304", "invalid-index-accepted", part=Part.INTERRUPT, severity=Severity.WARNING)
def invalid_index_accepted(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A concurrent index build would accept what a failed attempt left behind.

    Why it matters:
    CREATE INDEX CONCURRENTLY that is cancelled, times out or meets a duplicate leaves an index marked INVALID: no
    query uses it, every write maintains it, a UNIQUE one protects nothing. IF NOT EXISTS sees its name and says
    success.

    How it is measured:
    The up is cut short by lock_timeout behind an open writer (with --pgmigrate-crash by a crash after each of its commits
    too) and run again; the index is invalid then, and the second run reported success. Where that was not tried (a down,
    no rows), from the file: CONCURRENTLY IF NOT EXISTS, and nothing in it that drops, rebuilds or looks at the index.

    How to fix:
    DROP INDEX CONCURRENTLY IF EXISTS the index first, then create it without IF NOT EXISTS.

    When to ignore:
    Your runner looks for invalid indexes before it starts.

    References:
    https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    """
    passes: tuple[tuple[Step | None, Script | None], ...] = (
        (evidence.up, evidence.migration.up),
        (evidence.down, evidence.migration.down),
    )
    for step, script in passes:
        if evidence.status != "examined" or step is None or script is None or not step.succeeded:
            continue
        for statement in _accepting(script):
            name = qualified(statement.creates[0])
            create = replaced(statement, r"\bCONCURRENTLY\s+IF\s+NOT\s+EXISTS\b", "CONCURRENTLY")
            seen = _seen_invalid(evidence, last_part(statement.creates[0])) if script is evidence.migration.up else []
            yield Observation(
                place=statement.place,
                message=f"{name} is INVALID after an interrupted run ({when(seen[0])}) and a second one that reports success"
                if seen
                else f"IF NOT EXISTS accepts {name} even when an earlier attempt left it INVALID",
                effect=f"the retry reports success and {name} is never used by a query, while every write maintains it",
                fix=f"each outside any transaction: DROP INDEX CONCURRENTLY IF EXISTS {name}; {create}",
                observed={"index": name, "cuts": [when(cut) for cut in seen]},
                details=(f"statement: {first_line(statement.text)}",),
            )
