"""The user's list of data that may differ (``--pgmigrate-ignore-data``), and a difference without it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.evidence import IgnoredData, LostRows
from pytest_pgmigrate.model.state import Difference, RowChange, TableChange

_PART = re.compile(r'((?:"(?:[^"]|"")*"|[^".])+)(?:\.|$)')


def _parts(name: str) -> list[str]:
    """A dotted name in its parts, without quotes; delimited identifiers may hold dots."""
    return [re.sub(r'"((?:[^"]|"")*)"', lambda m: m[1].replace('""', '"'), part) for part in _PART.findall(name)]


@dataclass(frozen=True, slots=True)
class DataPattern:
    """``schema.table.column`` with ``*`` for any text; ``column`` None stands for the whole table, its rows included."""

    text: str
    schema: re.Pattern[str]
    table: re.Pattern[str]
    column: re.Pattern[str] | None

    @classmethod
    def parse(cls, text: str) -> DataPattern:
        """A pattern as written. ``table.column`` means any schema. Raises UsageError for another shape."""
        parts = _parts(text)
        if len(parts) == 2:
            parts = ["*", *parts]
        if len(parts) != 3:
            raise UsageError(
                f"--pgmigrate-ignore-data takes table.column or schema.table.column, with * for any text, not {text!r}"
            )
        schema, table, column = (re.compile(".*".join(map(re.escape, part.split("*"))), re.DOTALL) for part in parts)
        return cls(text, schema, table, None if parts[2] == "*" else column)

    def of_table(self, name: str) -> bool:
        """Whether it speaks of a table, given by its qualified name."""
        parts = _parts(name)
        schema = parts[0] if len(parts) == 2 else ""
        return bool(self.schema.fullmatch(schema) and self.table.fullmatch(parts[-1] if parts else ""))


@dataclass(frozen=True, slots=True)
class Ignoring:
    """All patterns of a run."""

    patterns: tuple[DataPattern, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Ignoring:
        """Raises UsageError for a pattern of another shape."""
        return cls(tuple(map(DataPattern.parse, texts)))

    def whole(self, table: str) -> DataPattern | None:
        """The pattern that leaves a table out with all its rows."""
        return next((p for p in self.patterns if p.column is None and p.of_table(table)), None)

    def column(self, table: str, column: str) -> DataPattern | None:
        """The pattern that leaves a column's values out."""
        for pattern in self.patterns:
            if pattern.of_table(table) and (pattern.column is None or pattern.column.fullmatch(column)):
                return pattern
        return None

    def split(self, difference: Difference) -> tuple[Difference, tuple[IgnoredData, ...]]:
        """The difference without what the patterns name, and what they name."""
        if not self.patterns or not difference.tables:
            return difference, ()
        kept: list[TableChange] = []
        ignored: list[IgnoredData] = []
        for change in difference.tables:
            left, out = self._table(change)
            ignored += out
            kept += [left] if left is not None else []
        return replace(difference, tables=tuple(kept)), tuple(ignored)

    def _table(self, change: TableChange) -> tuple[TableChange | None, list[IgnoredData]]:
        whole = self.whole(change.table)
        if whole is not None:
            count = sum(change.by_change.values()) or abs(change.new_count - change.old_count)
            return None, [IgnoredData(whole.text, change.table, "", count)]
        out = [
            IgnoredData(pattern.text, change.table, column, change.by_column.get(column, 0))
            for column in dict.fromkeys((*change.columns, *change.lost_columns))
            if (pattern := self.column(change.table, column)) is not None
        ]
        if not out:
            return change, []
        gone = {item.column for item in out}
        left = replace(
            change,
            columns=_without(change.columns, gone),
            lost_columns=_without(change.lost_columns, gone),
            by_column={name: count for name, count in change.by_column.items() if name not in gone},
            rows=tuple(row for row in (_row(row, gone) for row in change.rows) if row is not None),
        )
        nothing = not left.columns and not sum(change.by_change.values()) and change.old_count == change.new_count
        return None if nothing else left, out

    def split_lost(self, lost: Sequence[LostRows]) -> tuple[tuple[LostRows, ...], tuple[IgnoredData, ...]]:
        """The same for rows that lane B missed."""
        kept: list[LostRows] = []
        ignored: list[IgnoredData] = []
        for item in lost:
            whole = self.whole(item.table)
            if whole is not None:
                ignored.append(IgnoredData(whole.text, item.table, "", item.missing + item.changed))
                continue
            found = [(column, self.column(item.table, column)) for column in item.columns]
            ignored += [IgnoredData(p.text, item.table, column, item.changed) for column, p in found if p is not None]
            columns = tuple(column for column, pattern in found if pattern is None)
            if item.missing or columns or not found:
                kept.append(replace(item, columns=columns, changed=item.changed if columns or not found else 0))
        return tuple(kept), tuple(ignored)


def _without(names: Sequence[str], gone: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in set(gone))


def _row(row: RowChange, gone: set[str]) -> RowChange | None:
    if row.change != "changed":
        return row
    values = {name: pair for name, pair in row.values.items() if name not in gone}
    return replace(row, values=values) if values else None
