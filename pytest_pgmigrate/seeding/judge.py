"""Asks PostgreSQL itself whether rows that are not in a table yet meet its constraints."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import Check, Column, Row, Table, quote_identifier, quote_literal

Candidates = list[tuple[int, list["str | None"]]]
"""Ways to fill one column: (cost, one value per row)."""

ROW = '"pgmigrate #row"'
"""Names of our own beside the table's: such as no table has."""

COST = '"pgmigrate #cost"'
BATCH = 500
MAX_ERRORS = 600
"""Rows that cannot be evaluated are told from the others by halving; not for ever where nearly all of them fail."""


class Judge:
    """Evaluates expressions over rows given as VALUES, under the table's own name."""

    def __init__(self, session: Session, table: Table) -> None:
        self._session = session
        self._table = table
        self._alias = quote_identifier(table.ident.name)
        self._errors = 0

    def verdicts(self, checks: Sequence[Check], rows: Sequence[Row]) -> list[list[bool]]:
        """For each row, for each check, whether it is not false. What cannot be evaluated counts as false."""
        shown = [f"(({check.expression}) IS NOT FALSE)::text" for check in checks]
        found: list[list[bool]] = []
        for start in range(0, len(rows), BATCH):
            for values in self.evaluate(shown, checks, rows[start : start + BATCH]):
                found.append([value == "true" for value in values])
        return found

    def evaluate(
        self, shown: Sequence[str], checks: Sequence[Check], rows: Sequence[Row]
    ) -> list[Sequence[str | None]]:
        """The values of expressions over each row; all None for a row whose evaluation is an error."""
        if not rows:
            return []
        columns = self._columns(checks)
        source = self._with_generated(f"({self._values(columns, rows)})", checks)
        text = f"SELECT {', '.join(shown)} FROM {source} {self._alias} ORDER BY {ROW}"
        result = self._session.attempt(text)
        if isinstance(result, list):
            return list(result)
        self._errors += 1
        if len(rows) == 1 or self._errors > MAX_ERRORS:
            return [[None] * len(shown) for _ in rows]
        half = len(rows) // 2
        return self.evaluate(shown, checks, rows[:half]) + self.evaluate(shown, checks, rows[half:])

    def combinations(
        self,
        checks: Sequence[Check],
        columns: Sequence[Column],
        candidates: Sequence[Candidates],
        fixed: Sequence[Row],
        limit: int,
    ) -> list[tuple[int, tuple[int, ...]]] | None:
        """(row, index of a candidate per column) of every combination that meets all checks, cheapest first.

        ``fixed`` holds the rows' other columns. None when an expression failed on some combination.
        """
        parts, names, values, costs = [], [], [], []
        for number, (column, ways) in enumerate(zip(columns, candidates, strict=True)):
            join = f" ON c{number}.r = c0.r" if number else ""
            parts.append(f"(VALUES {_ways(column, ways)}) c{number} (r, k, cost, v){join}")
            names.append(f"c{number}.k AS {_index(number)}")
            values.append(f"c{number}.v AS {column.quoted}")
            costs.append(f"c{number}.cost")
        rest = [column for column in self._columns(checks) if column not in columns]
        if rest:
            parts.append(f"({self._values(rest, fixed)}) rest ON rest.{ROW} = c0.r")
            values += [f"rest.{column.quoted}" for column in rest]
        shown = ", ".join([f"c0.r AS {ROW}", f"{' + '.join(costs)} AS {COST}", *names, *values])
        source = self._with_generated(f"(SELECT {shown} FROM {' JOIN '.join(parts)})", checks)
        where = " AND ".join(f"(({check.expression}) IS NOT FALSE)" for check in checks)
        indexes = ", ".join(_index(number) for number in range(len(columns)))
        result = self._session.attempt(
            f"SELECT {ROW}, {indexes} FROM {source} {self._alias} WHERE {where} "
            f"ORDER BY {COST}, {indexes}, {ROW} LIMIT {limit}"
        )
        return [(row[0], tuple(row[1:])) for row in result] if isinstance(result, list) else None

    def readable(self, column: Column, ways: Candidates) -> Candidates:
        """The ways whose values the column's type can read at all."""
        values = {quote_literal(value) for _, per_row in ways for value in per_row}
        shown = ", ".join(f"{value}::{column.type.text}" for value in sorted(values))
        if not isinstance(self._session.attempt(f"SELECT {shown} LIMIT 0"), psycopg.Error):
            return ways
        half = len(ways) // 2
        return self.readable(column, ways[:half]) + self.readable(column, ways[half:]) if half else []

    def _with_generated(self, source: str, checks: Sequence[Check]) -> str:
        """``source`` with the generated columns that the checks mention."""
        generated = ", ".join(f"({column.default}) AS {column.quoted}" for column in self._generated(checks))
        return f"(SELECT *, {generated} FROM {source} {self._alias})" if generated else source

    def _values(self, columns: Sequence[Column], rows: Sequence[Row]) -> str:
        """VALUES with the first row's casts deciding the types; without a length, so that nothing is cut silently."""
        lines = []
        for number, row in enumerate(rows):
            items = [
                quote_literal(row.get(column.name)) + (f"::{column.type.text}" if not number else "")
                for column in columns
            ]
            lines.append("(" + ", ".join([str(number), *items]) + ")")
        names = ", ".join([ROW, *(column.quoted for column in columns)])
        return f"SELECT * FROM (VALUES {', '.join(lines)}) v ({names})"

    def _generated(self, checks: Sequence[Check]) -> list[Column]:
        named = {name for check in checks for name in check.columns}
        return [column for column in self._table.columns if column.generated and column.name in named]

    def _columns(self, checks: Sequence[Check]) -> list[Column]:
        """The columns the checks are about; all of them when one is generated from others."""
        named = {name for check in checks for name in check.columns}
        everything = bool(self._generated(checks))
        return [c for c in self._table.columns if not c.generated and (everything or c.name in named)]


def _index(number: int) -> str:
    return f'"pgmigrate #{number}"'


def _ways(column: Column, ways: Candidates) -> str:
    """The candidates as VALUES of (row, number of the candidate, cost, value); the first one's cast decides the type."""
    lines: list[str] = []
    for index, (cost, per_row) in enumerate(ways):
        for row, value in enumerate(per_row):
            cast = "" if lines else f"::{column.type.text}"
            lines.append(f"({row}, {index}, {cost}, {quote_literal(value)}{cast})")
    return ", ".join(lines)
