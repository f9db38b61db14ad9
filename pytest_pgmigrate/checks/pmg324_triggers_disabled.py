"""Triggers, and with them foreign keys, that do not act."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, short
from pytest_pgmigrate.checks._locks import Watched, about, watched
from pytest_pgmigrate.checks._sql import qualified
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Statement
from pytest_pgmigrate.model.watch import StatementSeen
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_DISABLES = "ALTER TABLE: DisableTrig"


@check("PMG324", "triggers-disabled", part=Part.LOCKS, severity=Severity.WARNING)
def triggers_disabled(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Triggers are switched off, foreign keys with them.

    Why it matters:
    A foreign key is a pair of triggers. With DISABLE TRIGGER ALL, or session_replication_role = replica, rows are
    written that point to nothing, and nobody checks them later: the constraint still says that it is valid. Triggers
    of the application (audit, dual writes) miss what happens meanwhile.

    How it is measured:
    From statements that disable triggers of a table that existed before, and from session_replication_role as the
    session had it at each statement.

    How to fix:
    Leave the triggers on and write in batches. Where only one trigger of your own is in the way, disable that one by
    name, and enable it in the same transaction.

    When to ignore:
    When the trigger is being retired, or the rows are checked afterwards.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-DISABLE-ENABLE-TRIGGER
    https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SESSION-REPLICATION-ROLE
    """
    told: set[str] = set()
    for item in watched(evidence):
        seen = item.seen
        if seen.failed:
            continue
        if any(kind.startswith(_DISABLES) for kind in seen.statement.kinds):
            yield from _table(item)
        elif _unchecked(seen) and item.step.name not in told:
            told.add(item.step.name)
            yield _session(item)


def _unchecked(seen: StatementSeen) -> bool:
    """Rows of a table that existed were written while no trigger and no foreign key looked at them."""
    written = any(count.written and not count.relation.new for count in seen.counts)
    return written and seen.settings.get("session_replication_role") == "replica"


def _table(item: Watched) -> Iterator[Observation]:
    seen = item.seen
    tables = [
        lock.relation.name for lock in seen.held if lock.relation.holds_rows and about(seen.statement, lock.relation)
    ]
    if not tables:
        return
    table, kinds = tables[0], seen.statement.kinds
    foreign = f"{_DISABLES}All" in kinds
    which = "all triggers" if foreign else "the user triggers" if f"{_DISABLES}User" in kinds else "a trigger"
    yield Observation(
        place=seen.statement.place,
        message=f"{which} of {short(table)} {'are' if which != 'a trigger' else 'is'} disabled"
        + (", those of its foreign keys included" if foreign else ""),
        effect=f"rows of {short(table)} may point to nothing, and nobody checks them later"
        if foreign
        else f"what the trigger does for each row of {short(table)} does not happen",
        fix=_fix(seen.statement, table),
        observed={"step": item.step.name, "table": table, "foreign_keys": foreign},
        details=(f"statement: {first_line(seen.statement.text)}",),
    )


def _fix(statement: Statement, table: str) -> str:
    name = qualified(table)
    if any(kind in (f"{_DISABLES}All", f"{_DISABLES}User") for kind in statement.kinds):
        return f"leave the triggers on; if one of your own is in the way, ALTER TABLE {name} DISABLE TRIGGER that one alone"
    return f"enable it in the same transaction: ALTER TABLE {name} ENABLE TRIGGER {statement.text.split()[-1].rstrip(';')};"


def _session(item: Watched) -> Observation:
    seen = item.seen
    before = [
        s for s in item.step.watched if s.index < seen.index and "session_replication_role" in s.statement.text.lower()
    ]
    statement = before[-1].statement if before else seen.statement
    return Observation(
        place=statement.place,
        message=f"session_replication_role is replica while {first_line(seen.statement.text, 60)} runs",
        effect="no trigger acts and no foreign key is checked: rows may point to nothing, and nobody checks them later",
        fix="remove SET session_replication_role; for the rows in question, write parents before their children",
        observed={"step": item.step.name, "setting": "session_replication_role", "value": "replica"},
        details=(f"statement: {first_line(statement.text)}",),
    )
