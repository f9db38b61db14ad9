"""The user's own queries: sent with values for their parameters, taken from the rows of the columns they stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.blocking.parameters import numbered, outside
from pytest_pgmigrate.execution.compat.attempts import Attempt, Tries, literal
from pytest_pgmigrate.execution.compat.values import by_type
from pytest_pgmigrate.model.compat import Unusable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg

    from pytest_pgmigrate.execution.blocking.queries import AppQuery
    from pytest_pgmigrate.execution.compat.tables import Old, Row

VARIANTS = 3
"""Rows from which values are taken, until the query works on one."""

_QUERIES = ("select", "insert", "update", "delete", "merge", "with", "values", "table", "call")
_NAME = r'(?:[\w$]+\.|"[^"]+"\.)*("[^"]+"|[\w$]+)'
_COMPARED = re.compile(
    _NAME + r"(?:::[\w ]+)?\s*(?:=|<>|!=|<=|>=|<|>|\bI?LIKE\b|\bIN\s*\(|\bBETWEEN\b)\s*(ANY\s*\(\s*)?\$(\d+)",
    re.IGNORECASE,
)
_TURNED = re.compile(r"\$(\d+)\s*(?:=|<>|<=|>=|<|>)\s*" + _NAME, re.IGNORECASE)
_INSERTED = re.compile(
    r"\bINSERT\s+INTO\s+"
    + _NAME
    + r"\s*(?:AS\s+\w+\s*)?\(([^()]*)\)\s*(?:OVERRIDING\s+\w+\s+VALUE\s+)?VALUES\s*\((.*?)\)\s*(?:,|;|$|ON|RETURNING)",
    re.IGNORECASE | re.DOTALL,
)
_COUNTED = re.compile(r"\b(?:LIMIT|OFFSET)\s+\$(\d+)", re.IGNORECASE)
_TYPES = b"SELECT t::text FROM pg_prepared_statements, unnest(parameter_types) AS t WHERE name = %s"


@dataclass(frozen=True, slots=True)
class UserQuery:
    """A query that works at version n-1: its text for the server, its values as SQL, a plan kept from then."""

    query: AppQuery
    sql: str
    values: tuple[str, ...] = ()
    plan: str = ""

    def attempt(self, tries: Tries) -> Attempt:
        """Send it anew."""
        found = tries.prepared(self.sql, self.values) if self.values else tries.attempt(self.sql, "QUERY")
        if found.refused is None:
            return found
        refused = replace(found.refused, file=self.query.file, line=self.line(found.position))
        return replace(found, refused=refused)

    def line(self, position: int) -> int:
        """The file's line of a character of ``sql``, or of the query's first word."""
        at = position - 1 if 0 < position <= len(self.sql) else _start(self.sql)
        return self.sql.count("\n", 0, at) + self.query.line

    @property
    def name(self) -> str:
        """The query's own name: file and line, for a CSV holds many."""
        return f"{self.query.file}:{self.query.line}"


def usable(
    connection: psycopg.Connection[Any], tries: Tries, queries: Sequence[AppQuery], olds: Sequence[Old]
) -> tuple[list[UserQuery], list[Unusable]]:
    """The queries that work at version n-1, and why the others do not."""
    found: list[UserQuery] = []
    unusable: list[Unusable] = []
    for query in queries:
        text, parameters = numbered(query.sql)
        text = text.rstrip().rstrip(";")
        mine, first = UserQuery(query, text), None
        problem = query.problem or _problem(text)
        if problem:
            unusable.append(Unusable(query.file, query.line, problem, mine.name))
            continue
        for values in _values(connection, tries, text, parameters, olds):
            mine = replace(mine, values=values)
            refused = mine.attempt(tries).refused
            if refused is None:
                found.append(replace(mine, plan=tries.prepare(text) if _reads(text) else ""))
                break
            first = first or refused
        else:
            if first is not None:
                unusable.append(Unusable(query.file, first.line, first.message, mine.name))
    return found, unusable


def mentioned(query: AppQuery, names: Sequence[str]) -> list[str]:
    """Which of these tables (``schema.table``) the query may be about."""
    words = {word.lower() for word in re.findall(r"[\w$]+", query.sql)}
    return [name for name in names if name.rsplit(".", 1)[-1].lower() in words]


def _problem(text: str) -> str:
    """Why a text is not sent: a COMMIT in it would end the transaction in which all is undone."""
    bare = outside(text).strip(" \t\r\n;(").lower()
    if not bare:
        return "it holds no query"
    if ";" in bare:
        return "it holds more than one statement; give each a file"
    if not bare.startswith(_QUERIES):
        return f"it begins with {bare.split()[0].upper()}, and only these are tried: {', '.join(_QUERIES).upper()}"
    return ""


def _start(text: str) -> int:
    """Where the first word stands that is no comment."""
    at = 0
    while match := re.compile(r"\s+|--[^\n]*|/\*.*?\*/", re.DOTALL).match(text, at):
        at = match.end()
    return min(at, len(text))


def _reads(text: str) -> bool:
    return text[_start(text) :].lower().startswith(("select", "with", "table"))


def _values(
    connection: psycopg.Connection[Any], tries: Tries, text: str, parameters: int, olds: Sequence[Old]
) -> Iterator[tuple[str, ...]]:
    if not parameters:
        yield ()
        return
    columns = parameter_columns(text)
    name = tries.prepare(text)
    types = [t for (t,) in connection.execute(_TYPES, (name,), prepare=False).fetchall()] if name else []
    near = [old for old in olds if re.search(rf"\b{re.escape(old.table.name.split('.', 1)[1])}\b", text, re.IGNORECASE)]
    seen: dict[tuple[str, ...], None] = {}
    for variant in range(VARIANTS):
        seen[tuple(_one(n, columns, types, near, variant) for n in range(1, parameters + 1))] = None
    yield from seen


def parameter_columns(text: str) -> Mapping[int, tuple[str, str]]:
    """By parameter: the column it is compared with or written to, and how (``stored``, ``fresh``, ``any``, ``count``)."""
    found: dict[int, tuple[str, str]] = {}
    for match in _COMPARED.finditer(text):
        found[int(match[3])] = (_bare(match[1]), "any" if match[2] else "stored")
    for match in _TURNED.finditer(text):
        found.setdefault(int(match[1]), (_bare(match[2]), "stored"))
    for match in _INSERTED.finditer(text):
        for column, value in zip(match[2].split(","), match[3].split(","), strict=False):
            if parameter := re.match(r"\s*\$(\d+)", value):
                found[int(parameter[1])] = (_bare(column.strip()), "fresh")
    for match in _COUNTED.finditer(text):
        found[int(match[1])] = ("", "count")
    return found


def _bare(name: str) -> str:
    return name[1:-1] if name.startswith('"') else name.lower()


def _one(
    number: int, columns: Mapping[int, tuple[str, str]], types: Sequence[str], near: Sequence[Old], variant: int
) -> str:
    column, how = columns.get(number, ("", ""))
    if how == "count":
        return "10"
    for old in near:
        rows: list[Row] = (old.fresh if how == "fresh" else old.stored) or old.stored
        if column and rows and column in rows[variant % len(rows)]:
            value = rows[variant % len(rows)][column]
            return literal("{" + value + "}") if how == "any" and value is not None else literal(value)
    kind = types[number - 1] if number <= len(types) else ""
    return literal(by_type(kind))
