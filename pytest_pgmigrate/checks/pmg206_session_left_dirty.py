"""A script that spoils the session for the next one."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import top
from pytest_pgmigrate.model.evidence import MigrationEvidence, SessionLeak
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Script, Statement
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_WORDS = {
    "transaction": ("begin", "start"),
    "advisory lock": ("advisory",),
    "temporary table": ("temp",),
    "role": ("role", "authorization"),
}


def _cause(leak: SessionLeak, script: Script) -> Statement | None:
    words = _WORDS.get(leak.name, (leak.name,))
    return next((s for s in script.statements if any(word in s.text.lower() for word in words)), None)


def _advice(leak: SessionLeak) -> str:
    if leak.name == "transaction":
        return "end the transaction with COMMIT in the same file"
    if leak.name == "advisory lock":
        return "use pg_advisory_xact_lock(), which the end of the transaction gives back, or unlock it"
    if leak.name == "temporary table":
        return f"create {leak.found} with ON COMMIT DROP"
    return f"write SET LOCAL {leak.name} inside the transaction, or RESET {leak.name} at the end of the file"


@check("PMG206", "session-left-dirty", part=Part.APPLY, severity=Severity.ERROR)
def session_left_dirty(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A script leaves its session other than it found it.

    Why it matters:
    Migration tools use one connection for many files. An open transaction, another search_path or role, an advisory
    lock reach the next migration, or the tool's own version table.

    How it is measured:
    Settings, transaction status, advisory locks and temporary tables are read in the script's own session after its
    last statement.

    How to fix:
    End what the script begins: COMMIT, RESET, SET LOCAL instead of SET, pg_advisory_xact_lock instead of
    pg_advisory_lock.

    When to ignore:
    When the tool opens a new connection for every file.

    References:
    https://www.postgresql.org/docs/current/sql-set.html
    """
    for step, script in ((evidence.up, evidence.migration.up), (evidence.down, evidence.migration.down)):
        if step is None or script is None or step.error is not None:
            continue
        for leak in step.leaks:
            if leak.name.endswith("_timeout"):
                continue
            statement = _cause(leak, script)
            yield Observation(
                place=statement.place if statement else top(script),
                message=f"after the {step.direction.value}, {leak.name} is {leak.found}, was {leak.expected or 'empty'}",
                effect="the next migration on this connection runs under it, and so does the tool's own bookkeeping",
                fix=_advice(leak),
                observed={"name": leak.name, "expected": leak.expected, "found": leak.found},
            )
