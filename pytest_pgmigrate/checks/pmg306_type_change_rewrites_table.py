"""A type change that makes the server write the whole table, or an index of it, anew."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, last_part
from pytest_pgmigrate.checks._hazards import Group, found, observe
from pytest_pgmigrate.checks._locks import (
    Watched,
    blocking,
    is_small,
    lock_facts,
    rows_phrase,
    watched,
)
from pytest_pgmigrate.checks._sql import as_sql, column_of, derived, qualified
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Statement
from pytest_pgmigrate.model.state import ObjectChange
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_CHANGED = r"\bALTER\s+(?:COLUMN\s+)?{name}\s+(?:SET\s+DATA\s+)?TYPE\b"
_TYPE = re.compile(r"\bTYPE\s+(?P<type>.+?)(?=\s+USING\b|\s*,\s*(?:ADD|ALTER|DROP)\b|\s*;)", re.IGNORECASE)
_TIMESTAMP = re.compile(r"timestamp(?:\(\d\))? (?P<zone>with|without) time zone")
_SETS_ZONE = re.compile(r"\bTIME\s*ZONE\b", re.IGNORECASE)


def _new_type(statement: Statement) -> str:
    match = _TYPE.search(as_sql(statement))
    return match["type"] if match else "<type>"


def _in_steps(table: str, column: str, new_type: str) -> str:
    new = derived(column, "new")
    return (
        f"over several migrations: ALTER TABLE {table} ADD COLUMN {new} {new_type}; a trigger that copies {column} to {new} "
        f"on every write; UPDATE {table} SET {new} = {column} in batches; then ALTER TABLE {table} RENAME COLUMN {column} "
        f"TO {derived(column, 'old')}; ALTER TABLE {table} RENAME COLUMN {new} TO {column};"
    )


def _fix(group: Group) -> str:
    column = column_of(group.statement, _CHANGED) or "<column>"
    if not group.first.rewritten:
        names = ", ".join(qualified(index.name) for index in group.first.indexes)
        return (
            f"in migrations of their own: DROP INDEX CONCURRENTLY for {names}, the type change, then CREATE INDEX "
            f"CONCURRENTLY again; where a query cannot do without, {_in_steps(group.table, column, _new_type(group.statement))}"
        )
    return _in_steps(group.table, column, _new_type(group.statement))


def _zone(value: object) -> str:
    match = _TIMESTAMP.fullmatch(str(value))
    return match["zone"] if match else ""


def _depends_on_zone(change: ObjectChange) -> bool:
    """From timestamp to timestamptz or back."""
    if change.key.kind != "column" or change.attribute != "type":
        return False
    old, new = _zone(change.old), _zone(change.new)
    return bool(old and new and old != new)


def _spared(item: Watched) -> Iterator[tuple[ObjectChange, Statement]]:
    """Changes of this statement between the two timestamp types that only the session's TimeZone made cheap."""
    seen = item.seen
    statement = seen.statement
    if seen.failed or seen.rewritten or not any(kind.endswith(": AlterColumnType") for kind in statement.kinds):
        return
    earlier = [other.statement for other in item.step.watched[: seen.index]]
    if any(
        _SETS_ZONE.search(other.text) for other in earlier if other.kind.startswith("SET") or "set_config" in other.text
    ):
        return  # it sets UTC itself, so that production will not rewrite either
    named = {last_part(name) for name in statement.relations}
    for change in item.evidence.changed.objects:
        if not _depends_on_zone(change) or last_part(change.key.relation) not in named:
            continue
        column = re.escape(last_part(change.key.name))
        if re.search(rf"(?<![\w$]){column}(?![\w$])", as_sql(statement), re.IGNORECASE):
            yield change, statement


@check("PMG306", "type-change-rewrites-table", part=Part.LOCKS, severity=Severity.ERROR)
def type_change_rewrites_table(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A column's new type makes the server copy the table, or build indexes anew, under AccessExclusiveLock.

    Why it matters:
    Where the stored bytes differ (int to bigint, a shorter varchar, another numeric scale) every row is written anew
    and every index rebuilt, while nobody can even read the table. A new collation rebuilds the indexes.

    How it is measured:
    The files of table and indexes before and after the statement, and the lock it held. Widening a varchar, or
    varchar to text, writes nothing and stays silent. timestamp to timestamptz writes nothing in a session whose
    TimeZone is UTC and everything in any other: that is a warning.

    How to fix:
    A new column, kept in step by a trigger, filled in batches, and swapped in by name.

    When to ignore:
    The table is small, or the application is stopped. Better: give its row count with --pgmigrate-production-rows.
    For the warning: production's sessions run in UTC too.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
    """
    for group in found(evidence, settings, "PMG306"):
        column = column_of(group.statement, _CHANGED) or "the column"
        indexes = len(group.first.indexes)
        effect = f"{indexes} index{'' if indexes == 1 else 'es'} built anew on the way" if indexes else ""
        yield observe(group, f"the new type of {column}", _fix(group), effect=effect)
    for item in watched(evidence):
        for change, statement in _spared(item):
            if not is_small(evidence, settings, change.key.relation):
                yield _warning(item, change, statement)


def _warning(item: Watched, change: ObjectChange, statement: Statement) -> Observation:
    table, column = qualified(change.key.relation), qualified(change.key.name).rpartition(".")[2]
    zone = item.seen.settings.get("TimeZone", "UTC")
    rows = rows_phrase(item.evidence, change.key.relation, item.evidence.rows_before.get(change.key.relation, 0))
    locks = [lock for lock in blocking(item.seen.held) if lock.relation.name == change.key.relation]
    return Observation(
        place=statement.place,
        message=f"the new type of {column} spared {rows} of {table} only because TimeZone is {zone} here",
        effect=f"in a session with another TimeZone every row of {table} is rewritten under AccessExclusiveLock",
        fix=f"say what the values mean, as the first statement of the transaction: SET LOCAL TimeZone = 'UTC'; {as_sql(statement)}",
        observed=lock_facts(item, locks[0]) if locks else {"relation": change.key.relation, "TimeZone": zone},
        details=(f"statement: {first_line(statement.text)}",),
        severity=Severity.WARNING,
    )
