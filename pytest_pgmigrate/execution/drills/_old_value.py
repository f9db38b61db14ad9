"""The column whose old value a backfill replaces, and the value: ``SET status = 'new' … WHERE status = 'old'``.

Only what the UPDATE says itself counts: it assigns the column, and asks for one literal value of it that it does not assign.
Such a row is to be found no more afterwards. Without such a condition (``WHERE price > 0``) no row can be told undone, and
with one that looks at other rows of the table ("a newer one of the same customer") some rows are meant to keep the value.
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
_PIECE = re.compile(r"(?:'(?:[^']|'')*'|[^';]+)+")
_UPDATE = re.compile(
    r"\bUPDATE\s+(?:ONLY\s+)?(?P<table>[\w.\"]+)(?:\s+(?:AS\s+)?(?!SET\b)\w+)?\s+SET\s+(?P<set>.*?)(?=\bWHERE\b|\bFROM\b|$)",
    re.IGNORECASE | re.DOTALL,
)
_AFTER = (
    r"(?:SET|WHERE|ON|USING|(?:INNER|LEFT|RIGHT|FULL|CROSS|NATURAL)|JOIN|TABLESAMPLE|GROUP|HAVING|WINDOW|ORDER|LIMIT|OFFSET"
    r"|FETCH|FOR|UNION|EXCEPT|INTERSECT|INTO|RETURNING|LOOP)\b"
)
_SOURCE = re.compile(
    rf"\b(?:FROM|JOIN|UPDATE)\s+(?:ONLY\s+)?(?P<name>[\w.\"]+)(?:\s+(?:AS\s+)?(?!{_AFTER})(?P<alias>\w+))?",
    re.IGNORECASE,
)
_WITH = re.compile(r"(?P<name>\w+)\s+AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(", re.IGNORECASE)
# A loop that runs so many times, whatever is left.
_COUNTED = re.compile(
    r"\bFOR\s+(?P<for>\w+)\s+IN\s+(?P<first>\d+)\s*\.\.\s*(?P<last>\d+)\s+LOOP\b"
    r"|\bWHILE\s+(?P<whiles>\w+)\s*(?P<sign><=?)\s*(?P<while>\d+)\s+LOOP\b"
    r"|\bEXIT\s+WHEN\s+(?P<exits>\w+)\s*(?:>=?|=)\s*(?P<exit>\d+)\s*;",
    re.IGNORECASE,
)
# Where the variable of a loop may stand and still be a mere counter: a message, its declaration, its next value.
_COUNTING = r"\bRAISE\b[^;]*;|\b{0}\s+(?:SMALL|BIG)?INT\w*[^;]*;|\b{0}\s*:?=\s*(?:{0}\s*\+\s*)?\d+\s*;"
_LIMIT = re.compile(r"\bLIMIT\s+(?P<limit>\d[\d_]*)\b", re.IGNORECASE)
# One row is compared with others: in a window, a group, the first of each.
_AMONG = re.compile(r"\bOVER\s*[(\w]|\bGROUP\s+BY\b|\bDISTINCT\s+ON\b", re.IGNORECASE)
_COMPARED = re.compile(r"\b(?P<one>\w+)\.\"?\w+\"?\s*(?:[<>!]?=|<>|[<>])\s*(?P<other>\w+)\.", re.IGNORECASE)
# All but the first of each: by its place in a window, or not among the best.
_PLACE = re.compile(r"\bOVER\s*\([^()]*\bPARTITION\s+BY\b[^()]*\)\s*(?:AS\s+)?\"?(?P<name>\w+)", re.IGNORECASE)
_BEST = r"\bNOT\s+IN\s*\(\s*SELECT\s+(?:max\s*\(|min\s*\(|DISTINCT\s+ON\b)[^;]*?\bFROM\s+(?:\w+\.)?\"?{}\b"
_STRING = re.compile(r"'(?:[^']|'')*'")
# In front of a condition, or of the parenthesis it stands in, these turn it round.
_NOT = re.compile(r"(?:\bNOT(?:\s+(?:EXISTS|IN))?|(?:<>|!=)\s*ALL|\bEXCEPT)\s*$", re.IGNORECASE)
_OPERATOR = re.compile(r"[-+*/%^|&#<>=~]\s*$")
# The literal is all that the column is compared with; a cast of it may follow.
_END = r"(?![\w.'])(?!(?:\s*::\s*\w+(?:\s*\([\d,\s]*\))?)?\s*[-+*/%^|&#<>=~])"
COLUMNS = """
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
    for piece, update in _updates(text, bare):
        yield from _replaced(piece, update["set"], bare)


def looks_at_others(text: str, table: str) -> bool:
    """Whether an UPDATE of ``table`` (schema.table) tells its rows by other rows of it: a newer one of the same customer."""
    bare = table.rpartition(".")[2].lower()
    return any(_joined(piece, bare, _names(piece, bare)[0]) for piece, _ in _updates(text, bare))


def _updates(text: str, bare: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Pieces of SQL with an UPDATE of the table."""
    for piece in _PIECE.findall(_COMMENT.sub(lambda match: match[1] or " ", text)):
        for update in _UPDATE.finditer(piece):
            if update["table"].replace('"', "").rpartition(".")[2].lower() == bare:
                yield piece, update


def target_of(context: Context, oid: int, table: str, text: str) -> tuple[Target, bool] | None:
    """The column of which the text replaces one value, and whether it was there before."""
    found = next(old_values(text, table), None) if table.count(".") == 1 else None
    if found is None:
        return None
    base = context.space.connect_base()
    try:
        before = [name for (name,) in base.execute(COLUMNS, (oid,)).fetchall()]
        key, whole, identity = rows.key_of(base, oid)
    finally:
        base.close()
    after = [name for (name,) in context.work.control.execute(COLUMNS, (oid,)).fetchall()]
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
    """Rows that all batches of a loop with a fixed number of turns can take, 0 where that is not written as numbers.

    Also 0 where a turn is more than a number: ``FOR c IN 1..5 LOOP … WHERE customer = c`` goes through the customers.
    """
    text = _COMMENT.sub(lambda match: match[1] or " ", text)
    if any(not _counter(text, found["for"] or found["whiles"] or found["exits"]) for found in _COUNTED.finditer(text)):
        return 0
    limits = [int(found["limit"].replace("_", "")) for found in _LIMIT.finditer(text)]
    turns = [_turns(found) for found in _COUNTED.finditer(text)]
    if not limits or not turns or not 0 < max(turns) <= MOST_TIMES:
        return 0
    return max(limits) * max(turns)


def _counter(text: str, name: str) -> bool:
    """Whether a loop's variable does nothing but count."""
    others = _STRING.sub(
        " ", re.sub(_COUNTING.format(re.escape(name)), " ", _COUNTED.sub(" ", text), flags=re.IGNORECASE)
    )
    return not re.search(rf"\b{re.escape(name)}\b", others, re.IGNORECASE)


def _turns(found: re.Match[str]) -> int:
    if found["last"]:
        return int(found["last"]) - int(found["first"]) + 1
    return int(found["while"]) + (found["sign"] == "<=") if found["while"] else int(found["exit"])


def _replaced(piece: str, assigned: str, table: str) -> Iterator[OldValue]:
    names, others = _names(piece, table)
    if _AMONG.search(piece) or _joined(piece, table, names):
        return
    for assignment in re.finditer(
        r"(?:^|,)\s*\"?(?P<column>\w+)\"?\s*=\s*(?P<value>.*?)(?=,\s*\"?\w+\"?\s*=|$)", assigned, re.DOTALL
    ):
        column, new = assignment["column"], assignment["value"].strip()
        qualifier = rf"(?P<of>\w+\.)?\"?\b{re.escape(column)}\b\"?"
        rest = piece.replace(assigned, " ", 1)
        wanted = (
            rf"{qualifier}\s*=\s*(?P<value>{_LITERAL}){_END}",
            rf"{qualifier}\s+IN\s*\(\s*(?P<value>{_LITERAL})\s*[,)]",
            rf"\bNOT\s+{qualifier}(?=\s*(?:\)|;|\bAND\b|\bORDER\b|\bLIMIT\b|\bLOOP\b|$))",
            rf"{qualifier}\s+IS\s+(?:NOT\s+TRUE|FALSE)\b",
        )
        for pattern in wanted:
            for found in re.finditer(pattern, rest, re.IGNORECASE):
                if _turned(rest[: found.start()]):
                    continue
                value = found.groupdict().get("value") or "false"
                of = (found["of"] or "").rstrip(".").lower()
                # Another table's column of that name says nothing about this one.
                if value.lower() != new.lower() and (of in names if of else not others):
                    yield OldValue(column, value)


def _turned(before: str) -> bool:
    """Whether what stands in front of a condition makes something else of it: a NOT, or an operator."""
    plain = _STRING.sub("''", before)
    if _NOT.search(plain) or _OPERATOR.search(plain):
        return True
    closed = 0
    for at in range(len(plain) - 1, -1, -1):
        closed += {")": 1, "(": -1}.get(plain[at], 0)
        if closed < 0:  # a parenthesis that is still open
            closed = 0
            if _NOT.search(plain, 0, at):
                return True
    return False


def _joined(piece: str, table: str, names: set[str]) -> bool:
    """Whether a piece of SQL compares rows of the table with one another: under two names, or with the best of them."""
    places = (found["name"] for found in _PLACE.finditer(piece))
    if any(re.search(rf"\b{re.escape(place)}\b\"?\s*(?:[<>!]?=|<>|[<>])\s*\d", piece) for place in places):
        return True
    if re.search(_BEST.format(re.escape(table)), piece, re.IGNORECASE):
        return True
    read = [f for f in _SOURCE.finditer(piece) if f["name"].replace('"', "").rpartition(".")[2].lower() == table]
    beside = {(f["alias"] or table).lower() for f in read if not f[0].upper().startswith("UPDATE")}
    pairs = ({found["one"].lower(), found["other"].lower()} for found in _COMPARED.finditer(piece))
    return len(beside) > 1 or any(len(pair) > 1 and pair <= names for pair in pairs)


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
