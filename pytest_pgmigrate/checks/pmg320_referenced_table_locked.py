"""A foreign key that locks the table it points to."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, listed, short
from pytest_pgmigrate.checks._hazards import claimed
from pytest_pgmigrate.checks._locks import (
    Watched,
    about,
    blocked_lines,
    keeps_out,
    lock_facts,
    watched,
    weigh,
    who_waits,
)
from pytest_pgmigrate.checks._sql import as_sql, derived, qualified
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Statement
from pytest_pgmigrate.model.watch import Lock
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check

_DROPS = ("DROP TABLE", "DROP SCHEMA", "drop_owned_stmt", "ALTER TABLE: DropConstraint", "ALTER TABLE: DropColumn")


def _adds_key(statement: Statement) -> bool:
    """CREATE TABLE, or a foreign key that is not declared NOT VALID (that one locks too, but is the way to do it)."""
    for kind in statement.kinds:
        if kind.startswith("ALTER TABLE: Add") and "FOREIGN" in kind and "NOT VALID" not in kind:
            return True
    return statement.kind in ("CREATE TABLE", "CREATE TABLE PARTITION BY")


def _drops(statement: Statement) -> bool:
    return any(kind in _DROPS for kind in statement.kinds)


def _referenced(item: Watched) -> list[Lock]:
    """Tables that the statement names behind REFERENCES; the one that is altered comes first among its names."""
    statement = item.seen.statement
    own = statement.relations[:1]
    named = Statement(statement.text, 0, 0, statement.place, statement.kinds, statement.relations[1:])
    target = Statement(statement.text, 0, 0, statement.place, statement.kinds, own)
    return [
        lock for lock in keeps_out(item.seen.taken) if about(named, lock.relation) and not about(target, lock.relation)
    ]


def _partners(item: Watched) -> list[Lock]:
    """Tables that remain, and a foreign key joined to what the statement drops."""
    statement = item.seen.statement
    locks = [lock for lock in keeps_out(item.seen.taken) if lock.mode.blocks_reads]
    if statement.kind.startswith("ALTER TABLE"):
        # What it names behind REFERENCES is not what it drops from.
        statement = Statement(statement.text, 0, 0, statement.place, statement.kinds, statement.relations[:1])
    dropped = [lock.relation for lock in locks if about(statement, lock.relation) or _in_schema(statement, lock)]
    gone = {relation.name for relation in dropped}
    pointed = {name for relation in dropped for name in relation.referenced}
    left = [lock for lock in locks if lock.relation.name not in gone]
    return [lock for lock in left if lock.relation.name in pointed or gone & set(lock.relation.referenced)]


def _in_schema(statement: Statement, lock: Lock) -> bool:
    if statement.kind == "DROP SCHEMA":
        return lock.relation.name.split(".", 1)[0] in statement.relations
    return statement.kind == "drop_owned_stmt"


def _column(statement: Statement, table: str) -> str:
    """The referencing column, as far as the text tells."""
    text = as_sql(statement)
    found = re.search(rf'\bREFERENCES\s+(?:\w+\.)?"?{re.escape(table.rpartition(".")[2])}"?', text, re.IGNORECASE)
    before = text[: found.start()] if found else ""
    if key := re.search(r"FOREIGN\s+KEY\s*\(([^)]*)\)\s*$", before, re.IGNORECASE):
        return key[1].strip()
    depth, start = 0, 0
    for position in range(len(before) - 1, -1, -1):
        depth += (before[position] == ")") - (before[position] == "(")
        if depth < 0 or (depth == 0 and before[position] == ","):
            start = position + 1
            break
    head = re.sub(r"(?i)^.*\bADD\s+(COLUMN\s+)?(IF\s+NOT\s+EXISTS\s+)?", "", before[start:]).split()
    return head[0] if head else ""


def _fix(item: Watched, lock: Lock) -> str:
    statement = item.seen.statement
    other = qualified(lock.relation.name)
    child = statement.relations[0] if statement.relations else ""
    if _drops(statement):
        return (
            f"let it be the only statement of its migration, behind SET LOCAL lock_timeout = '5s'; and try again when "
            f"{other} was busy; of a table, drop the foreign key first and the table in a later migration"
        )
    column = _column(statement, lock.relation.name)
    name = derived(child, *column.replace(",", " ").split(), "fkey")
    return (
        f"leave REFERENCES {other} out here; in a migration of its own: SET LOCAL lock_timeout = '5s'; ALTER TABLE "
        f"{child} ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {other} NOT VALID; "
        f"and in the next one: ALTER TABLE {child} VALIDATE CONSTRAINT {name};"
    )


@check("PMG320", "referenced-table-locked", part=Part.LOCKS, severity=Severity.WARNING)
def referenced_table_locked(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """A foreign key that is made or dropped locks the other table too.

    Why it matters:
    CREATE TABLE looks harmless, since nobody uses the new table. But each REFERENCES puts a trigger on the table it
    points to, which takes ShareRowExclusiveLock there: writes to a busy table wait, and queue up behind the migration
    while it waits itself. Dropping a foreign key, or a table that has one, takes AccessExclusiveLock on both tables.

    How it is measured:
    From the locks that the statement took on tables that existed before, other than the one it names first. What only
    gives back a foreign key of the same migration's up, in its down, is not reported again, nor is one declared NOT VALID.

    How to fix:
    Create the table without the foreign key. Add it NOT VALID in a migration of its own with a short lock_timeout, and
    validate it in the next.

    When to ignore:
    When the other table is hardly written, or the statement is alone in a transaction with a short lock_timeout.

    References:
    https://www.postgresql.org/docs/current/sql-altertable.html
    https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
    """
    work = claimed(evidence)
    by_up: set[str] = set()
    for item in watched(evidence):
        seen = item.seen
        if seen.failed:
            continue
        found = _partners(item) if _drops(seen.statement) else _referenced(item) if _adds_key(seen.statement) else []
        if not item.down:
            by_up |= {lock.relation.name for lock in keeps_out(seen.taken)}
        elif found:
            found = [lock for lock in found if lock.relation.name not in by_up]
        if any((item.step.name, seen.index, lock.relation.name) in work for lock in seen.held):
            continue
        found = [lock for lock in found if weigh(item, settings, lock.relation.name) is not None]
        if not found:
            continue
        names = ", ".join(short(lock.relation.name) for lock in found)
        yield Observation(
            place=seen.statement.place,
            message=f"{_what(seen.statement)} takes {found[0].mode.pg} on {names}, joined to it by a foreign key",
            effect=who_waits(found[0]),
            fix=_fix(item, found[0]),
            observed={**lock_facts(item, found[0]), "tables": [lock.relation.name for lock in found]},
            details=listed([*blocked_lines(seen), f"statement: {first_line(seen.statement.text)}"]),
        )


def _what(statement: Statement) -> str:
    words = " ".join(statement.text.split()[:2]).upper()
    name = statement.relations[0] if statement.relations else ""
    return f"{words} {name}".strip()
