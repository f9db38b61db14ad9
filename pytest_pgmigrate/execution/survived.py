"""Looks rows up by their keys after a down: the server counts what is missing or other, we only see a few examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.kept import Copy, Kept, absent
from pytest_pgmigrate.execution.rows import pinned
from pytest_pgmigrate.model.evidence import LostRows

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.rows import Column, Table

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Expected:
    """Rows that must still be there: a copy, the table now, the columns whose values must be the same."""

    copy: Copy
    now: Table
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kin:
    """What became of kept rows: how many have their key still, how many rows there are, columns with other values."""

    kept: int
    found: int
    rows: int
    changed: frozenset[str]

    @property
    def same_keys(self) -> bool:
        """Neither more nor fewer rows, by key."""
        return self.kept == self.found == self.rows


def compare(kept: Kept, copies: Mapping[str, Copy], now: Mapping[str, Table]) -> dict[str, Kin]:
    """How the tables stand beside their copies; a value of a row that is gone counts as changed unless it was NULL."""
    queries = {}
    names: dict[str, tuple[str, ...]] = {}
    for name, copy in copies.items():
        table = now[name]
        names[name] = tuple(c for c in copy.table.columns if c in table.columns)
        flags = [_any(copy.equals(copy.table.columns[c], table, _OTHER)) for c in names[name]]
        numbers = ["count(*)", _counted(table), f"(SELECT count(*) FROM {table.source})", *flags]
        queries[name] = f"SELECT ARRAY[{', '.join(numbers)}]::int8[] {copy.joined(table)}"
    return {name: _kin(numbers, names[name]) for name, numbers in kept.numbers(queries).items()}


def lost(kept: Kept, kind: str, expected: Mapping[str, Expected], since: str) -> list[LostRows]:
    """What a down did not keep, by table; ``since`` is when it began: a later time in a column is the clock's."""
    queries = {name: _count(wanted, since) for name, wanted in expected.items()}
    found = []
    for name, (total, missing, changed, *flags) in kept.numbers(queries).items():
        if missing or changed:
            columns = tuple(c for c, flag in zip(expected[name].columns, flags, strict=True) if flag)
            examples = _examples(kept, expected[name], columns, since)
            found.append(LostRows(name, kind, total, missing, changed, columns, examples))
    return found


_OTHER = "IS DISTINCT FROM"


def _kin(numbers: Sequence[int], names: Sequence[str]) -> Kin:
    total, found, rows, *flags = numbers
    return Kin(total, found, rows, frozenset(name for name, flag in zip(names, flags, strict=True) if flag))


def _counted(now: Table) -> str:
    return f"count(*) FILTER (WHERE NOT ({absent(now)}))"


def _any(condition: str) -> str:
    return f"coalesce(max(({condition})::int4), 0)"


def _differs(wanted: Expected, column: Column, since: str) -> str:
    """That a value is another one, and not a time that a trigger or the down itself took from the clock meanwhile."""
    condition = wanted.copy.equals(column, wanted.now, _OTHER)
    now = wanted.now.columns[column.name]
    if now.type.startswith("timestamp"):
        start = since[:19].replace("T", " ")
        condition += f" AND (left({now.text('n')}, 19) >= '{start}') IS NOT TRUE"
    return f"({condition})"


def _count(wanted: Expected, since: str) -> str:
    gone = absent(wanted.now)
    differing = [_differs(wanted, wanted.copy.table.columns[c], since) for c in wanted.columns]
    flags = [_any(f"NOT ({gone}) AND {condition}") for condition in differing]
    changed = f"count(*) FILTER (WHERE NOT ({gone}) AND ({' OR '.join(differing)}))" if differing else "0"
    numbers = ["count(*)", f"count(*) FILTER (WHERE {gone})", changed, *flags]
    return f"SELECT ARRAY[{', '.join(numbers)}]::int8[] {wanted.copy.joined(wanted.now)}"


def _examples(kept: Kept, wanted: Expected, columns: Sequence[str], since: str) -> tuple[str, ...]:
    """A few rows in the order they were kept, those that are gone first, each with the first column that differs."""
    copy, now = wanted.copy, wanted.now
    own = [copy.table.columns[c] for c in columns]
    flags = [_differs(wanted, column, since) for column in own]
    cells = [
        f"ARRAY[{', '.join(items)}]::{kind}[]"
        for items, kind in (
            (flags, "bool"),
            ([copy.text(column) for column in own], "text"),
            ([now.columns[column.name].text("n") for column in own], "text"),
        )
    ]
    gone = absent(now)
    query = (
        f"SELECT {gone}, {copy.key()}, {', '.join(cells)} {copy.joined(now)}"
        f" WHERE {' OR '.join([gone, *flags])} ORDER BY 1 DESC, b.place LIMIT {_EXAMPLES}"
    )
    with pinned(kept.connection):
        rows = kept.connection.execute(query.encode()).fetchall()
    return tuple(_example(now.key, columns, *row) for row in rows)


def _example(
    key: Sequence[str],
    columns: Sequence[str],
    gone: bool,
    values: Sequence[str],
    flags: Sequence[bool],
    old: Sequence[str | None],
    new: Sequence[str | None],
) -> str:
    row = ", ".join(f"{name} {value}" for name, value in zip(key, values, strict=True))
    if gone:
        return f"{row}: gone"
    at = list(flags).index(True)
    return f"{row}: {columns[at]} was {old[at]!r}, is {new[at]!r}"
