"""The migration on edge rows: which of them it takes for granted not to be there, and which it does not give back."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from pytest_pgmigrate.execution.database import OUR_SCHEMAS
from pytest_pgmigrate.execution.names import parts, plain
from pytest_pgmigrate.execution.rows import PIN
from pytest_pgmigrate.execution.trial import Failure, Place, Trials
from pytest_pgmigrate.model.evidence import Assumption, EdgeEvidence, LostEdge
from pytest_pgmigrate.model.migration import Direction

if TYPE_CHECKING:
    from pytest_pgmigrate.model.cluster import EdgeRow, Seeder
    from pytest_pgmigrate.model.evidence import ServerError, Step
    from pytest_pgmigrate.model.ignoring import Ignoring
    from pytest_pgmigrate.model.migration import Migration
    from pytest_pgmigrate.model.state import Difference, ObjectChange, State

MOST_TRIALS = 150
"""Trials to find the rows that break a script, where each is a transaction rolled back."""

MOST_CLONES = 25
"""The same, where each needs a clone."""

Group = tuple[str, str, str]
"""Table, column and name of an edge value."""

Wanted = Callable[[str, str, str], bool]
"""Which edge rows are to be written, by group."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What lane A knows of the migration: its watched steps, the state before it and what its up changed."""

    up: Step | None
    down: Step | None
    before: State
    after: State | None
    changed: Difference
    ignoring: Ignoring
    """Data of which the user says that it may differ: nothing is tried there."""

    migrated: psycopg.Connection[Any]
    """Connected to the database as lane A left it at version n."""

    def ignores(self, table: str, column: str, _: str) -> bool:
        """Whether the user says that this column may differ."""
        return self.ignoring.whole(table) is not None or self.ignoring.column(table, column) is not None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One trial: the rows that were there, how a script failed, and what the down did not give back."""

    rows: tuple[EdgeRow, ...] = ()
    failure: Failure | None = None
    lost: tuple[LostEdge, ...] = ()


@dataclass(slots=True)
class _Search:
    """What trials may still be made, and the groups found to break a script."""

    left: int
    culprits: dict[Group, Failure] = field(default_factory=dict)


def examine(
    trials: Trials, migration: Migration, seeder: Seeder, seen: Seen, assumed: ServerError | None
) -> EdgeEvidence:
    """Edge rows before the up through both scripts; then, where the up makes room, edge rows after it through the down.

    ``assumed``: how the up failed before the rows were made to fit.
    """
    found = EdgeEvidence()
    downward = seen.down is not None and seen.down.error is None
    tables = tables_of((seen.up, seen.down))
    if tables:
        # But for the edge value a row is one that fits the version to come, as an application writes it.
        after = seeder.read_schema(seen.migrated, exclude_schemas=OUR_SCHEMAS, tables=tables)
        drill = EdgeDrill(trials, migration, seeder, tables, downward, after)
        found = drill.run(lambda *group: not seen.ignores(*group))
    room = relaxed_tables(seen.changed, seen.after)
    if room and downward:
        known = {(row.table, row.column, row.name) for one in found.assumptions for row in one.rows}
        known |= {(one.row.table, one.row.column, one.row.name) for one in found.lost}
        there = columns_of(seen.before)
        drill = LaterEdgeDrill(trials, migration, seeder, room, downward)
        later = drill.run(lambda *group: group not in known and group[:2] in there and not seen.ignores(*group))
        found = replace(found, assumptions=(*found.assumptions, *later.assumptions), lost_later=later.lost)
    if any(assumed is not None and one.error.place == assumed.place for one in found.assumptions):
        return found
    return replace(found, assumptions=(*fitted(assumed), *found.assumptions))


def fitted(assumed: ServerError | None) -> tuple[Assumption, ...]:
    """The assumption of an up that failed before the rows were made to fit."""
    return () if assumed is None else (Assumption(Direction.UP, assumed, fitted=True),)


class EdgeDrill:
    """Tries one migration on edge rows of ``tables`` (schema.table); ``down`` False: only its up.

    ``also``: another version that the rows fit but for their edge value.
    """

    later = False

    def __init__(
        self,
        trials: Trials,
        migration: Migration,
        seeder: Seeder,
        tables: Sequence[str],
        down: bool,
        also: object = None,
    ) -> None:
        self._trials = trials
        self._migration = migration
        self._seeder = seeder
        self._tables = tables
        self._down = down
        self._also = also

    def run(self, wanted: Wanted) -> EdgeEvidence:
        """Which of the edge rows that are ``wanted`` break a script, and which are not given back."""
        first = self._try(wanted)
        if first.failure is None:
            return EdgeEvidence(len(first.rows), lost=first.lost)
        search = _Search(MOST_TRIALS if self._trials.undone else MOST_CLONES)
        self._find(first, search, wanted)
        last = self._try(_but(wanted, search.culprits))
        lost = last.lost if last.failure is None else ()
        return EdgeEvidence(len(first.rows), self._confirmed(first, search.culprits, wanted), lost)

    # -- one trial ---------------------------------------------------------------------------------------------------

    def _try(self, wanted: Wanted, *, real: bool = False) -> _Outcome:
        with self._trials.place(real=real) as place:
            rows, failure = self._rows(place, wanted)
            if failure is not None or not self._down:
                return _Outcome(rows, failure)
            before = self._before(place, rows)
            failure = place.run(self._migration, Direction.DOWN)
            if failure is not None:
                return _Outcome(rows, failure)
            return _Outcome(rows, None, tuple(_lost(rows, before, read_back(place.connection, rows))))

    def _rows(self, place: Place, wanted: Wanted) -> tuple[tuple[EdgeRow, ...], Failure | None]:
        """Edge rows at version n-1, then the up."""
        rows = self._seeder.write_edge(
            place.connection, exclude_schemas=OUR_SCHEMAS, tables=self._tables, wanted=wanted, also=self._also
        )
        self._values = read_back(place.connection, rows) if self._down else {}
        return rows, place.run(self._migration, Direction.UP)

    def _before(self, place: Place, rows: Sequence[EdgeRow]) -> Mapping[int, str | None]:
        """The values that the down has to give back."""
        return self._values

    # -- whose fault -------------------------------------------------------------------------------------------------

    def _find(self, first: _Outcome, search: _Search, wanted: Wanted) -> None:
        """Column by column, those that the failing statement names first; then value by value."""
        groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        for row in first.rows:
            groups[(row.table, row.column)].append(row.name)
        assert first.failure is not None
        named, others = _sorted(groups, first.failure)
        for part in (named, others):
            for table, column in part:
                self._column(table, column, groups[(table, column)], search)
            if search.left <= 0 or not self._fails(_but(wanted, search.culprits), search):
                return

    def _column(self, table: str, column: str, names: Sequence[str], search: _Search) -> None:
        if not self._fails(_only([(table, column, name) for name in names]), search):
            return
        for name in names:
            failure = self._fails(_only([(table, column, name)]), search)
            if failure is not None:
                search.culprits[(table, column, name)] = failure

    def _fails(self, wanted: Wanted, search: _Search) -> Failure | None:
        search.left -= 1
        return self._try(wanted).failure if search.left > 0 else None

    def _confirmed(self, first: _Outcome, culprits: Mapping[Group, Failure], wanted: Wanted) -> tuple[Assumption, ...]:
        """One assumption a column and script, if the migration really fails on these rows, run as the tool runs it."""
        real = self._try(_only(culprits) if culprits else wanted, real=True).failure
        if real is None:
            return ()
        if not culprits:
            return (Assumption(real.direction, real.error, later=self.later),)
        found: dict[tuple[str, str, Direction], list[EdgeRow]] = defaultdict(list)
        for row in first.rows:
            failure = culprits.get((row.table, row.column, row.name))
            if failure is not None:
                found[(row.table, row.column, failure.direction)].append(row)
        return tuple(
            Assumption(direction, culprits[(table, column, rows[0].name)].error, tuple(rows), self.later)
            for (table, column, direction), rows in found.items()
        )


class LaterEdgeDrill(EdgeDrill):
    """The same with edge rows written after the up: values that only the new version can hold, through the down."""

    later = True

    def _rows(self, place: Place, wanted: Wanted) -> tuple[tuple[EdgeRow, ...], Failure | None]:
        before = self._seeder.read_schema(place.connection, exclude_schemas=OUR_SCHEMAS, tables=self._tables)
        failure = place.run(self._migration, Direction.UP)
        if failure is not None:
            # What fails without edge rows is another finding's.
            return (), None
        write = self._seeder.write_edge
        return (
            write(place.connection, exclude_schemas=OUR_SCHEMAS, tables=self._tables, wanted=wanted, also=before),
            None,
        )

    def _before(self, place: Place, rows: Sequence[EdgeRow]) -> Mapping[int, str | None]:
        return read_back(place.connection, rows)


def _only(groups: Iterable[Group]) -> Wanted:
    chosen = frozenset(groups)
    return lambda *group: group in chosen


def _but(wanted: Wanted, groups: Iterable[Group]) -> Wanted:
    left_out = frozenset(groups)
    return lambda *group: group not in left_out and wanted(*group)


def _sorted(groups: Iterable[tuple[str, str]], failure: Failure) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Columns that the failing statement or its error names, and the others."""
    statement = failure.error.statement
    text = f"{statement.text if statement else ''} {failure.error.message} {failure.error.detail}".lower()
    words = set(re.findall(r"\w+", text))
    named = [pair for pair in groups if set(re.findall(r"\w+", pair[1].lower())) <= words]
    return named, [pair for pair in groups if pair not in named]


# -- reading rows back ------------------------------------------------------------------------------------------------


def read_back(connection: psycopg.Connection[Any], rows: Sequence[EdgeRow]) -> dict[int, str | None]:
    """The edge value of each row as text, by the row's number; a row that is not there has none."""
    by_table: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        if row.key:
            by_table[row.table].append(number)
    found: dict[int, str | None] = {}
    for table, numbers in by_table.items():
        try:
            # Settings that the text depends on go with the savepoint.
            with connection.transaction(force_rollback=True):
                connection.execute(PIN)
                found.update(_read_table(connection, table, [(n, rows[n]) for n in numbers]))
        except psycopg.Error:
            if connection.closed:
                raise
    return found


def _read_table(
    connection: psycopg.Connection[Any], table: str, rows: Sequence[tuple[int, EdgeRow]]
) -> Iterable[tuple[int, str | None]]:
    schema, _, name = table.partition(".")
    key = list(rows[0][1].key)
    columns = list(dict.fromkeys(row.column for _, row in rows))
    shown = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column)) for column in (*key, *columns))
    keys = sql.SQL(", ").join(
        sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, row.key.values()))) for _, row in rows
    )
    names = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column)) for column in key)
    query = sql.SQL("SELECT {} FROM {} WHERE ({}) IN ({})").format(shown, sql.Identifier(schema, name), names, keys)
    stored = {tuple(values[: len(key)]): values[len(key) :] for values in connection.execute(query).fetchall()}
    for number, row in rows:
        values = stored.get(tuple(row.key.values()))
        if values is not None:
            yield number, values[columns.index(row.column)]


def _lost(
    rows: Sequence[EdgeRow], before: Mapping[int, str | None], after: Mapping[int, str | None]
) -> Iterable[LostEdge]:
    for number, value in before.items():
        if number not in after:
            yield LostEdge(rows[number], gone=True)
        elif after[number] != value:
            yield LostEdge(rows[number], now=after[number])


# -- which tables -----------------------------------------------------------------------------------------------------


def tables_of(steps: Iterable[Step | None]) -> tuple[str, ...]:
    """Tables (schema.table) that existed before and of which a watched step read, wrote or rewrote rows."""
    found: dict[str, None] = {}
    for step in steps:
        for seen in step.watched if step is not None else ():
            relations = [count.relation for count in seen.counts if count.read or count.written]
            relations += [*seen.rewritten, *seen.emptied]
            for relation in relations:
                if not relation.new and relation.kind in ("table", "partitioned table"):
                    found.update(dict.fromkeys((*relation.parents, relation.name)))
    return tuple(found)


def columns_of(state: State) -> frozenset[tuple[str, str]]:
    """Every (schema.table, column) of a state."""
    found = set()
    for key in state.objects:
        if key.kind == "column":
            table, column = plain(key.relation), parts(key.name)[-1]
            found.add((table, column))
    return frozenset(found)


def relaxed_tables(changed: Difference, after: State | None) -> tuple[str, ...]:
    """Tables that may now hold more: a column, constraint or unique index changed or dropped, a type, a new partition."""
    found: dict[str, None] = {}
    for change in changed.objects:
        kind, gone = change.key.kind, change.change in ("changed", "missing")
        if gone and change.key.relation and kind in ("column", "constraint", "index"):
            found[plain(change.key.relation)] = None
        elif kind == "table" and change.change != "missing":
            found.update(dict.fromkeys(_parents(change, after)))
        elif kind in ("type", "domain") and change.change == "changed" and after is not None:
            found.update(dict.fromkeys(_of_type(last_part(change.key.name), after)))
    return tuple(found)


def _parents(change: ObjectChange, after: State | None) -> Iterable[str]:
    """The tables that a new or newly attached partition belongs to."""
    parents = change.new if change.attribute == "parents" else None
    if change.change == "extra" and after is not None:
        parents = after.objects[change.key].get("parents")
    return [plain(str(name)) for name in parents] if isinstance(parents, (list, tuple)) else []


def _of_type(name: str, after: State) -> Iterable[str]:
    """Tables with a column of a type of the user's."""
    for key, attributes in after.objects.items():
        if key.kind == "column" and last_part(str(attributes.get("type", ""))) == name:
            yield plain(key.relation)


def last_part(name: str) -> str:
    """A name without its schema, quotes and brackets."""
    return parts(name.removesuffix("[]"))[-1]
