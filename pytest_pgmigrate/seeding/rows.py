"""Builds the rows of one table: own values, foreign keys, unique indexes. CHECKs are met afterwards (witness.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from pytest_pgmigrate.seeding.draw import Stream
from pytest_pgmigrate.seeding.given import made, null_drawn
from pytest_pgmigrate.seeding.hints import NO_HINT, Hint, read_hints, tokens
from pytest_pgmigrate.seeding.numbers import decimal_or_none, moment_or_none
from pytest_pgmigrate.seeding.parents import LIMIT, Parents
from pytest_pgmigrate.seeding.parents import WHOLE as WHOLE_PARENTS
from pytest_pgmigrate.seeding.plan import nullable
from pytest_pgmigrate.seeding.shape import Catalog, Column, ForeignKey, Row, Table, TableName, Unique
from pytest_pgmigrate.seeding.values import WHOLE, Make, ValueMaker, choices_of, mostly_null

MAX_ATTEMPTS = 3000

# The first type of a unique index in this list carries its uniqueness.
_CARRIERS = (
    "uuid",
    "text",
    "varchar",
    "citext",
    "bytea",
    "int8",
    "int4",
    "numeric",
    "timestamptz",
    "timestamp",
    "date",
)


class EmptyParent(Exception):
    """A NOT NULL foreign key points to a table without rows."""


class RowBuilder:
    """Makes rows for one table. ``skip`` names the foreign keys written as NULL for now.

    ``fresh`` are tables whose rows a trigger makes itself: references to them get keys nobody has yet.
    """

    def __init__(
        self,
        catalog: Catalog,
        table: Table,
        seed: int,
        parents: Parents,
        skip: frozenset[str],
        fresh: frozenset[int] = frozenset(),
    ) -> None:
        self.table = table
        self.saturated: str | None = None
        self._parents = parents
        self._seed = seed
        keys = [key for key in table.ident.foreign_keys if key.parent in catalog.names and key.parent not in fresh]
        self._own = [key for key in keys if key.parent == table.ident.oid]
        outer = [key for key in keys if key.parent != table.ident.oid]
        self._skipped = [key for key in outer if key.name in skip]
        self._keys = sorted(
            (key for key in outer if key.name not in skip), key=lambda key: self._rank(key, outer, catalog)
        )
        self._catalog = catalog
        # A tenant that a row shares with the row of the same table it points to is the row's own.
        self._scopes = {column for key in self._own for column, reference in key.pairs if column == reference}
        self._scopes -= {column for key in outer for column in key.columns}
        linked = {column for key in keys for column in key.columns} - self._scopes
        self.hints = read_hints(table.checks)
        self.hints |= {name: Hint(list(one.choices)) for name, one in table.given.items() if one.choices is not None}
        self.sequences = {
            column.name: column.sequence
            for column in table.columns
            if column.sequence and column.name not in linked | table.generated_by_user and not column.generated
        }
        self._finite: list[Unique] = []
        distinct = self._carriers(linked)
        self.distinct = frozenset(distinct)
        self.linked = frozenset(linked)
        # Where the column must differ in every row, its own values serve better than a reference nobody declared.
        own = distinct | self.sequences.keys() | table.generated_by_user
        self._implied = [key for key in table.ident.implied if key.columns[0] not in own]
        self.maker = ValueMaker(seed, str(table.ident), catalog.types)
        self._makers: dict[str, Make] = {
            column.name: self.maker.make(column, self.hints.get(column.name, NO_HINT), distinct=column.name in distinct)
            for column in table.columns
            if not column.generated and column.name not in linked and column.name not in self.sequences
        }
        self._linked_makers: dict[str, Make] = {}
        self._use_given(distinct)
        for name in self._scopes & self._makers.keys() - distinct - table.generated_by_user:
            self._makers[name] = _shared(self._makers[name])
        self.spans = [span for unique in table.uniques if (span := self._span(unique, distinct))]
        self._streams = {key.name: Stream(seed, str(table.ident), "@key", key.name) for key in [*keys, *self._implied]}
        self._strides, self._combinations = self._plan_strides()
        self._seen: dict[str, set[tuple[str | None, ...]]] = {unique.name: set() for unique in self._finite}
        self._made: list[Row] = []
        self._spare = 0

    def _use_given(self, distinct: set[str]) -> None:
        """The user's ways in place of ours, also for columns that are references or numbered by a sequence."""
        for name, given in self.table.given.items():
            column = self.table.by_name.get(name)
            if column is None or column.generated:
                continue
            base = self._makers.pop(name, None)
            if base is not None and given.null_rate and not given.generates:
                # What is empty in most rows by itself, such as deleted_at, follows the user's rate alone.
                hint = self.hints.get(name, NO_HINT)
                base = self.maker.make(replace(column, not_null=True), hint, distinct=name in distinct)
            make = made(self._seed, str(self.table.ident), column, base, name in distinct, given)
            if make is not None:
                (self._makers if base is not None else self._linked_makers)[name] = make

    @property
    def insertable(self) -> list[Column]:
        """The columns an INSERT names: all but generated ones."""
        return [column for column in self.table.columns if not column.generated]

    @property
    def finite(self) -> Sequence[Unique]:
        """Unique indexes whose columns take few values; existing rows must be told by ``remember``."""
        return self._finite

    def junction(self) -> list[tuple[ForeignKey, TableName]]:
        """The foreign keys, with their parents, of which each pair may come once and that are free of each other.

        [] where a unique index is finite in another way.
        """
        unique = self._finite[0]
        keys = [key for key in self._keys if set(key.columns) & set(unique.columns)]
        names = self._catalog.names
        parents = {key.parent for key in self._keys}
        above = {upper.parent for key in self._keys for upper in names[key.parent].foreign_keys} & parents
        simple = all(len(key.pairs) == 1 for key in (*keys, *self._own))
        whole = sorted(column for key in keys for column in key.columns) == sorted(unique.columns)
        if len(self._finite) > 1 or unique.partial or not simple or not whole or above or self._skipped:
            return []
        return [(key, names[key.parent]) for key in keys]

    def spare(self, name: str, number: int) -> str | None:
        """A value the column's rows do not use: something else to try where a CHECK refuses the first."""
        make = self._makers.get(name)
        return make(self._spare + number, 0) if make else None

    def remember(self, rows: Sequence[Row]) -> None:
        """Rows the table has already: their keys are taken."""
        for row in rows:
            for unique in self._finite:
                self._seen[unique.name].add(tuple(row.get(column) for column in unique.columns))

    def build(self, ordinals: Sequence[int], given: Sequence[Mapping[str, str | None]]) -> list[Row]:
        """One row per ordinal, ``given`` values kept. Fewer when a unique index admits no more (``saturated``).

        Raises EmptyParent.
        """
        self._spare = 10_000 + 200 * (ordinals[0] if ordinals else 0) % 10**8
        rows = []
        for ordinal, fixed in zip(ordinals, given, strict=True):
            row = self._fitting(ordinal, fixed)
            if row is None:
                if self.saturated:
                    break
                continue
            rows.append(row)
            self._made.append(row)
        return rows

    def _fitting(self, ordinal: int, fixed: Mapping[str, str | None]) -> Row | None:
        blocked: Unique | None = None
        spare: Row | None = None
        for attempt in range(self._combinations):
            row = self._row(ordinal, attempt, fixed)
            if row is None:
                continue
            taken = next((unique for unique in self._finite if self._taken(unique, row)), None)
            if taken is None:
                self.remember([row])
                return row
            # What a partial index says of rows outside its predicate is nothing: the server may yet take this row.
            spare = row if taken.partial and spare is None else spare
            blocked = blocked if taken.partial else taken
        if spare is None and blocked is not None:
            self.saturated = blocked.name
        return spare

    def _taken(self, unique: Unique, row: Row) -> bool:
        key = tuple(row.get(column) for column in unique.columns)
        return None not in key and key in self._seen[unique.name]

    def _row(self, ordinal: int, attempt: int, fixed: Mapping[str, str | None]) -> Row | None:
        row: Row = dict(fixed)
        for name, make in self._linked_makers.items():
            if name not in row:
                row[name] = make(ordinal, attempt)
        for key in self._keys:
            if not self._bind(key, row, ordinal, attempt):
                return None
        for key in self._skipped:
            for column in key.columns:
                row.setdefault(column, None)
        for key in self._implied:
            candidates = self._parents.rows(key)
            if candidates and key.columns[0] not in row and not self._rarely(key, ordinal):
                picked = candidates[self._streams[key.name].below(ordinal, len(candidates))]
                row[key.columns[0]] = picked[key.referenced[0]]
        for name, make in self._makers.items():
            if name not in row:
                row[name] = make(ordinal, attempt // self._strides.get(name, 1) if name in self._strides else 0)
        for start, end in self.spans:
            row[end] = _just_after(row[start], self.table.by_name[start]) or row[end]
        for key in self._own:
            self._bind_own(key, row, ordinal, attempt)
        return row

    def _bind(self, key: ForeignKey, row: Row, ordinal: int, attempt: int) -> bool:
        if all(column in row for column in key.columns):
            return True
        free = [column for column in key.columns if column not in row]
        candidates = self._candidates(key)
        stream = self._streams[key.name]
        if not candidates or self._rarely(key, ordinal):
            if not nullable(self.table, key):
                raise EmptyParent(str(self._catalog.names[key.parent]))
            row.update(dict.fromkeys((c for c in free if not self.table.by_name[c].not_null), None))
            return all(column in row for column in key.columns)
        bound = {reference: row[column] for column, reference in key.pairs if row.get(column) is not None}
        if bound:
            candidates = [one for one in candidates if all(one[name] == value for name, value in bound.items())]
            if not candidates:
                optional = [column for column in free if not self.table.by_name[column].not_null]
                row.update(dict.fromkeys(optional, None))
                return bool(optional) and len(optional) == len(free)
        size = len(candidates)
        stride = self._strides.get(key.name)
        first = stream.below(ordinal, size) if stride is None else stream.permuted(ordinal, size) + attempt // stride
        picked = candidates[first % size]
        for column, reference in key.pairs:
            row.setdefault(column, picked[reference])
        self._imply(key, picked, row)
        return True

    def _candidates(self, key: ForeignKey) -> list[Row]:
        """Rows to point to: all of them where a unique index is about nothing but the key."""
        alone = any(set(unique.columns) <= set(key.columns) for unique in self._finite)
        return self._parents.rows(key, WHOLE_PARENTS if alone else LIMIT)

    def _rarely(self, key: ForeignKey, ordinal: int) -> bool:
        """Whether this row has no value, for a key such as ``deleted_by`` that few rows have."""
        for column in key.columns:
            given = self.table.given.get(column)
            if given is not None and given.null_rate is not None:
                return null_drawn(self._seed, str(self.table.ident), column, given.null_rate, ordinal)
        rare = any(mostly_null(self.table.by_name[column]) for column in key.columns)
        return rare and self._streams[key.name].below(ordinal, 5, 7) != 0

    def _imply(self, key: ForeignKey, picked: Row, row: Row) -> None:
        """A child of B and of A, where B is a child of A too, gets the A its B has."""
        for upper in self._catalog.names[key.parent].foreign_keys:
            same = [one for one in self._keys if one.parent == upper.parent and one.name != key.name]
            if len(same) != 1 or same[0].referenced != upper.referenced:
                continue
            for (column, _), (source, _) in zip(same[0].pairs, upper.pairs, strict=True):
                if picked.get(source) is not None:
                    row.setdefault(column, picked[source])

    def _bind_own(self, key: ForeignKey, row: Row, ordinal: int, attempt: int) -> None:
        """Self references point to an earlier row; the first rows are roots, or point to themselves when NOT NULL."""
        if all(column in row for column in key.columns):
            return
        optional = [column for column in key.columns if column not in row and not self.table.by_name[column].not_null]
        bound = {reference: row[column] for column, reference in key.pairs if row.get(column) is not None}
        earlier = [one for one in self._made if all(one.get(name) == value for name, value in bound.items())]
        if optional and (len(earlier) < 3 or ordinal % 5 == 0):
            row.update(dict.fromkeys(optional, None))
            earlier = []
        if attempt and any(set(key.columns) & set(unique.columns) for unique in self._finite):
            earlier = []
        picked = earlier[self._streams[key.name].below(ordinal, len(earlier))] if earlier else row
        for column, reference in key.pairs:
            row.setdefault(column, picked.get(reference))

    def _rank(self, key: ForeignKey, keys: Sequence[ForeignKey], catalog: Catalog) -> tuple[int, int, str]:
        above = {upper.parent for upper in catalog.names[key.parent].foreign_keys}
        return (-sum(other.parent in above for other in keys), -len(key.pairs), key.name)

    def _carriers(self, linked: set[str]) -> set[str]:
        """One column per unique index that is different in every row; indexes without such a column are finite."""
        distinct: set[str] = set()
        for unique in sorted(self.table.uniques, key=lambda unique: len(unique.columns)):
            if any(column in self.sequences or column in distinct for column in unique.columns):
                continue
            fitting = [
                self.table.by_name[name]
                for name in self._sources(unique)
                if name not in linked and name in self.table.by_name and self._carries(self.table.by_name[name])
            ]
            if unique.exclusion:
                fitting.sort(key=lambda column: column.type.kind != "r")
            else:
                fitting.sort(
                    key=lambda column: (
                        column.name in self._scopes,
                        _CARRIERS.index(column.type.name) if column.type.name in _CARRIERS else 99,
                    )
                )
            if fitting:
                distinct.add(fitting[0].name)
            elif unique.columns:
                self._finite.append(unique)
        return distinct

    def _sources(self, unique: Unique) -> list[str]:
        """The columns of a unique index; for a generated one those that it is made of."""
        found: list[str] = []
        for name in unique.columns:
            column = self.table.by_name.get(name)
            made_of = tokens(column.default) if column and column.generated and column.default else [name]
            found += [other.name for other in self.table.columns if other.name in made_of or other.quoted in made_of]
        return list(dict.fromkeys(found))

    def _carries(self, column: Column) -> bool:
        hint = self.hints.get(column.name, NO_HINT)
        return not column.generated and choices_of(column, hint) is None

    def _span(self, unique: Unique, distinct: set[str]) -> tuple[str, str] | None:
        """(start, end) of an exclusion constraint over a range built from two columns: ends close to their starts."""
        columns = [self.table.by_name[name] for name in unique.columns if name in self._makers]
        starts = [column for column in columns if column.name in distinct]
        if not unique.exclusion or not starts or any(column.type.kind == "r" for column in columns):
            return None
        ends = [one for one in columns if one.type.oid == starts[0].type.oid and one.number > starts[0].number]
        return (starts[0].name, ends[0].name) if ends else None

    def _plan_strides(self) -> tuple[dict[str, int], int]:
        """Digits of the attempt number for every item of a finite unique index, so that all combinations come up."""
        strides: dict[str, int] = {}
        total = 1
        columns = {column for unique in self._finite for column in unique.columns}
        for key in self._keys:
            if columns & set(key.columns):
                strides[key.name] = total
                total = min(total * max(len(self._candidates(key)), 1), 1 << 40)
        if any(columns & set(key.columns) for key in self._own):
            total += 1
        for column in self.table.columns:
            few = choices_of(column, self.hints.get(column.name, NO_HINT))
            if column.name in columns and column.name in self._makers and few:
                strides[column.name] = total
                total = min(total * len(few), 1 << 40)
        return strides, min(total, MAX_ATTEMPTS)


def _shared(make: Make) -> Make:
    """Values that seven rows in a row have in common."""
    return lambda row, shift: make(row // 7, shift)


def _just_after(value: str | None, column: Column) -> str | None:
    """The end of a range that starts at ``value``, before any other row's range starts; None where unknown."""
    number, moment = decimal_or_none(value), moment_or_none(value)
    if column.type.name in WHOLE or column.type.name == "numeric":
        return None if number is None else f"{number + 1:f}"
    if column.type.name == "date" and moment is not None:
        return str((moment + timedelta(days=1)).date())
    return (
        None if moment is None else f"{moment + timedelta(hours=1)}{'+00' if column.type.name == 'timestamptz' else ''}"
    )
