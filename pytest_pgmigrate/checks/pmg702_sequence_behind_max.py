"""A sequence that gives ids which are taken."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import acknowledged, last_part, short, top
from pytest_pgmigrate.model.evidence import MigrationEvidence, SequenceBehind
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Script, Statement
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _blamed(item: SequenceBehind, script: Script) -> Statement | None:
    """The last statement that names the sequence, else the one that writes or makes the table."""
    sequence, table = last_part(item.sequence), last_part(item.table)
    said = [s for s in script.statements if sequence in s.text.lower()]
    written = [s for s in script.statements if table in map(last_part, s.relations) and _inserts(s)]
    made = [s for s in script.statements if table in map(last_part, s.creates)]
    found = said or written or made
    return found[-1] if found else None


def _inserts(statement: Statement) -> bool:
    return statement.kind.split("_", 1)[0] in ("insert", "update", "merge", "copy")


def _advice(item: SequenceBehind) -> str:
    table, last = short(item.table), "max" if item.increment > 0 else "min"
    sequence = item.sequence.replace("'", "''")
    return f"at the end: SELECT setval('{sequence}', (SELECT {last}({item.column}) FROM {table}));"


def _observation(item: SequenceBehind, script: Script, which: str) -> Observation:
    statement = _blamed(item, script)
    good = (item.taken - item.next_value) // item.increment
    when = "the next INSERT" if not good else f"after {good} more INSERTs the next one"
    last = "largest" if item.increment > 0 else "smallest"
    return Observation(
        place=statement.place if statement else top(script),
        message=f"after the {which} sequence {short(item.sequence)} gives {item.next_value} next, and the {last} "
        f"{short(item.table)}.{item.column} in its way is {item.furthest}",
        effect=f"{when} without an explicit {item.column} fails with duplicate key value violates unique constraint "
        f"(SQLSTATE 23505): {item.column} {item.taken} is taken",
        fix=_advice(item),
        observed={
            "sequence": item.sequence,
            "table": item.table,
            "column": item.column,
            "next_value": item.next_value,
            "taken": item.taken,
            "furthest": item.furthest,
        },
    )


@check("PMG702", "sequence-behind-max", part=Part.APPLY, severity=Severity.ERROR)
def sequence_behind_max(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A sequence stands behind the column it fills.

    Why it matters:
    nextval does not look into the table. After rows were inserted with explicit ids, or the sequence was set back, the
    application's next INSERT gets an id that exists and fails, once for each id in the way.

    How it is measured:
    After the up, and after the down, for every sequence that fills a column with a unique index of its own (serial,
    identity, DEFAULT nextval) in tables that the migration touched: what nextval gives next, and the values of the
    column from there on. A sequence that stood behind before the migration is not this migration's.

    How to fix:
    SELECT setval('<sequence>', (SELECT max(id) FROM <table>)) after rows with explicit ids; no RESTART over rows that
    exist.

    When to ignore:
    When no INSERT uses the default, because every writer brings its own ids.

    References:
    https://www.postgresql.org/docs/current/functions-sequence.html
    """
    up, down = evidence.up, evidence.down
    left = set()
    if up is not None and up.succeeded:
        left = {item.sequence for item in up.behind}
        for item in up.behind:
            yield _observation(item, evidence.migration.up, "up")
    if down is None or not down.succeeded or evidence.migration.down is None:
        return
    for item in down.behind:
        if item.sequence not in left and not acknowledged(evidence.migration, item.table, item.sequence):
            yield _observation(item, evidence.migration.down, "down")
