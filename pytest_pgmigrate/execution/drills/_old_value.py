"""The column whose old value a backfill replaces, and the value: ``SET status = 'new' … WHERE status = 'old'``.

Only what the UPDATE says itself counts: it assigns the column, and asks for one literal value of it that it does not assign.
Such a row is to be found no more afterwards. Without such a condition (``WHERE price > 0``) no row can be told undone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pytest_pgmigrate.execution.drills import _backfill_rows as rows
from pytest_pgmigrate.execution.drills._backfill_rows import Target

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.drills import Context

_LITERAL = r"'(?:[^']|'')*'|-?\d+(?:\.\d+)?|\bTRUE\b|\bFALSE\b"
_COMMENT = re.compile(r"('(?:[^']|'')*')|--[^\n]*|/\*.*?\*/", re.DOTALL)
_PIECE = re.compile(r"(?:'(?:[^']|'')*'|[^';])+")
_UPDATE = re.compile(
    r"\bUPDATE\s+(?:ONLY\s+)?(?P<table>[\w.\"]+)(?:\s+(?:AS\s+)?(?!SET\b)\w+)?\s+SET\s+(?P<set>.*?)(?=\bWHERE\b|\bFROM\b|$)",
    re.IGNORECASE | re.DOTALL,
)
_SOURCE = re.compile(
    r"\b(?:FROM|JOIN|UPDATE)\s+(?:ONLY\s+)?(?P<name>[\w.\"]+)(?:\s+(?:AS\s+)?(?P<alias>(?!SET\b|WHERE\b|ON\b)\w+))?",
    re.IGNORECASE,
)
_WITH = re.compile(r"(?P<name>\w+)\s+AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(", re.IGNORECASE)
# A loop that runs so many times, whatever is left.
_COUNTED = re.compile(
    r"\bFOR\s+\w+\s+IN\s+(?P<first>\d+)\s*\.\.\s*(?P<last>\d+)\s+LOOP\b"
    r"|\bWHILE\s+\w+\s*(?P<sign><=?)\s*(?P<while>\d+)\s+LOOP\b"
    r"|\bEXIT\s+WHEN\s+\w+\s*(?:>=?|=)\s*(?P<exit>\d+)\s*;",
    re.IGNORECASE,
)
_LIMIT = re.compile(r"\bLIMIT\s+(?P<limit>\d[\d_]*)\b", re.IGNORECASE)
_COLUMNS = """
SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""
_NUMBER = re.compile(r"(?<![\w.'])\d[\d_]*(?![\w.'])")
LARGEST_BATCH = 10_000
MOST_TIMES = 1_000
"""What a loop compares with beyond this is taken for a key, not for a count."""


class OldValue(NamedTuple):
    """A column, and the value (an SQL literal) that no row of those meant has after the up."""

    column: str
    value: str


def old_values(text: str, table: str) -> Iterator[OldValue]:
    """What the UPDATEs of ``table`` (schema.table) in the text replace, one statement after the other."""
    bare = table.rpartition(".")[2].lower()
    plain = _COMMENT.sub(lambda match: match[1] or " ", text)
    for piece in _PIECE.findall(plain):
        for update in _UPDATE.finditer(piece):
            if update["table"].replace('"', "").rpartition(".")[2].lower() == bare:
                yield from _replaced(piece, update["set"], bare)


def target_of(context: Context, oid: int, table: str, text: str) -> tuple[Target, bool] | None:
    """The column of which the text replaces one value, and whether it was there before."""
    found = next(old_values(text, table), None) if table.count(".") == 1 else None
    if found is None:
        return None
    base = context.space.connect_base()
    try:
        before = [name for (name,) in base.execute(_COLUMNS, (oid,)).fetchall()]
        key, whole, identity = rows.key_of(base, oid)
    finally:
        base.close()
    after = [name for (name,) in context.work.control.execute(_COLUMNS, (oid,)).fetchall()]
    column = next((name for name in after if name.lower() == found.column.lower()), None)
    if column is None or column == key:
        return None
    target = Target(oid, table, column, key, whole, identity, batch(text), found.value, capacity(text))
    return target, column in before


def batch(text: str) -> int:
    """Rows of a batch: the largest number that can be meant so."""
    numbers = [int(found.replace("_", "")) for found in _NUMBER.findall(text)]
    return max((number for number in numbers if 2 <= number <= LARGEST_BATCH), default=0)


def capacity(text: str) -> int:
    """Rows that all batches of a loop with a fixed number of turns can take, 0 where that is not written as numbers."""
    limits = [int(found["limit"].replace("_", "")) for found in _LIMIT.finditer(text)]
    turns = [_turns(found) for found in _COUNTED.finditer(text)]
    if not limits or not turns or not 0 < max(turns) <= MOST_TIMES:
        return 0
    return max(limits) * max(turns)


def _turns(found: re.Match[str]) -> int:
    if found["last"]:
        return int(found["last"]) - int(found["first"]) + 1
    return int(found["while"]) + (found["sign"] == "<=") if found["while"] else int(found["exit"])


def _replaced(piece: str, assigned: str, table: str) -> Iterator[OldValue]:
    names, others = _names(piece, table)
    for assignment in re.finditer(
        r"(?:^|,)\s*\"?(?P<column>\w+)\"?\s*=\s*(?P<value>.*?)(?=,\s*\"?\w+\"?\s*=|$)", assigned, re.DOTALL
    ):
        column, new = assignment["column"], assignment["value"].strip()
        qualifier = rf"(?P<of>\w+\.)?\"?\b{re.escape(column)}\b\"?"
        rest = piece.replace(assigned, " ", 1)
        wanted = (
            rf"{qualifier}\s*=\s*(?P<value>{_LITERAL})",
            rf"{qualifier}\s+IN\s*\(\s*(?P<value>{_LITERAL})\s*[,)]",
            rf"\bNOT\s+{qualifier}(?=\s*(?:\)|;|\bAND\b|\bORDER\b|\bLIMIT\b|\bLOOP\b|$))",
            rf"{qualifier}\s+IS\s+(?:NOT\s+TRUE|FALSE)\b",
        )
        for pattern in wanted:
            for found in re.finditer(pattern, rest, re.IGNORECASE):
                value = found.groupdict().get("value") or "false"
                of = (found["of"] or "").rstrip(".").lower()
                # Another table's column of that name says nothing about this one.
                if value.lower() != new.lower() and (of in names if of else not others):
                    yield OldValue(column, value)


def _names(piece: str, table: str) -> tuple[set[str], bool]:
    """What the table is called in a piece of SQL, and whether other tables are read there."""
    made = {found["name"].lower() for found in _WITH.finditer(piece)}
    names, others = {table}, False
    for found in _SOURCE.finditer(piece):
        name = found["name"].replace('"', "").rpartition(".")[2].lower()
        if name == table:
            names.add((found["alias"] or table).lower())
        elif name not in made and name not in ("skip", "of"):
            others = True
    return names, others
