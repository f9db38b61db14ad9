"""Fills one table: rows in rounds, and what is tried when the table refuses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

from pytest_pgmigrate.model.cluster import SeedReport
from pytest_pgmigrate.seeding.bulk import BULK_FROM, POOL, grow
from pytest_pgmigrate.seeding.copies import copied_rows
from pytest_pgmigrate.seeding.given import add_sql
from pytest_pgmigrate.seeding.links import read_rows
from pytest_pgmigrate.seeding.load import Stored, insert, refusal
from pytest_pgmigrate.seeding.parents import Parents
from pytest_pgmigrate.seeding.repair import make_witness
from pytest_pgmigrate.seeding.report import NO_PARTITION, no_parent, report
from pytest_pgmigrate.seeding.rows import EmptyParent, RowBuilder
from pytest_pgmigrate.seeding.sequences import catch_up, draw, left
from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import Catalog, Row, Table, quote_identifier
from pytest_pgmigrate.seeding.triggers import without_triggers
from pytest_pgmigrate.seeding.wishes import Unusable
from pytest_pgmigrate.seeding.witness import unmet_reason

ROUNDS = 4
"""How often missing rows are tried again with other values, at least."""

MAX_ROUNDS = 20
"""The same, as long as every round brings some."""

FRESH = 100_000
"""Number of the first row with keys that no other table's rows were given."""

KNOWN_KEYS = 20000


@dataclass(slots=True)
class Tally:
    """What came of some rounds."""

    filled: int = 0
    reason: str = ""
    saturated: str = ""
    elsewhere: str = ""
    accepted: list[Row] = field(default_factory=list)


class OneTable:
    """Fills ``table``; ``skip`` names foreign keys written as NULL for now, ``more`` when it may have rows already."""

    def __init__(
        self,
        session: Session,
        catalog: Catalog,
        seed: int,
        parents: Parents,
        table: Table,
        skip: frozenset[str],
        *,
        more: bool,
    ) -> None:
        self._session = session
        self._catalog = catalog
        self._seed = seed
        self._parents = parents
        self._table = table
        self._skip = skip
        self._more = more

    def fill(self, rows: int) -> SeedReport:
        """Insert ``rows`` rows."""
        if self._table.partitions == 0:
            return report(self._table, rows, 0, NO_PARTITION)
        existing = catch_up(self._session, self._table) if self._more else 0
        try:
            if self._table.factory is not None:
                return self._from_factory(rows, existing)
            tally = self._rounds(self._builder(), rows, existing)
            if tally.filled < rows and not tally.saturated:
                self._imitate(tally, rows, existing)
                self._with_fresh_keys(tally, rows, existing)
            if not tally.filled and not self._more and not self._count():
                return self._bypassing(tally, rows)
        except EmptyParent as error:
            return report(self._table, rows, 0, no_parent(error))
        except Unusable as error:
            return report(self._table, rows, self._count() - existing, str(error))
        self._number_on()
        return self._report(tally, rows, existing)

    def _from_factory(self, rows: int, existing: int) -> SeedReport:
        """The user's own rows; columns that these leave out get values of ours. Raises EmptyParent, Unusable."""
        assert self._table.factory is not None
        given = self._table.factory(rows, existing)
        builder, tally = self._builder(), Tally()
        drawn = self._draw(builder, len(given), tally)
        for row, own in zip(drawn, given, strict=False):
            row.update(own)
        add_sql(self._session, self._table, self._seed, existing, drawn)
        built = builder.build(range(existing, existing + len(drawn)), drawn)
        tally.saturated = builder.saturated or tally.saturated
        self._store(builder, built, tally, kept=frozenset(name for row in given for name in row))
        self._number_on()
        if not given and rows and not self._more:
            return report(self._table, rows, 0, "its factory gave no row")
        return self._report(tally, len(given), existing)

    def _number_on(self) -> None:
        """Sequences go on behind the keys that the user's values brought."""
        if self._table.factory is not None or self._table.given:
            catch_up(self._session, self._table)

    def _report(self, tally: Tally, rows: int, existing: int) -> SeedReport:
        if not self._more and not tally.filled and (written := self._count()):
            status = "full" if written >= rows else "saturated" if tally.saturated else "partial"
            return report(self._table, rows, written, "its rows were written by another table's trigger", status)
        if tally.saturated and tally.filled < rows and not tally.reason:
            status = "saturated" if tally.filled + existing else ""
            return report(self._table, rows, tally.filled, f"{tally.saturated} admits no more rows", status)
        return report(self._table, rows, tally.filled, tally.reason)

    def _builder(self, fresh: frozenset[int] = frozenset()) -> RowBuilder:
        builder = RowBuilder(self._catalog, self._table, self._seed, self._parents, self._skip, fresh)
        if self._more:
            builder.remember(self._known(builder))
        return builder

    def _rounds(self, builder: RowBuilder, rows: int, start: int) -> Tally:
        tally, ordinal = Tally(), start
        copies = copied_rows(self._session, self._table, self._catalog.names)
        for turn in range(MAX_ROUNDS):
            missing = rows - tally.filled
            if turn == 0 and rows >= BULK_FROM:
                missing = POOL
            drawn = self._draw(builder, missing, tally)
            for row, copied in zip(drawn, copies[ordinal:], strict=False):
                row.update({name: value for name, value in copied.items() if name not in self._table.given})
            add_sql(self._session, self._table, self._seed, ordinal, drawn)
            built = builder.build(range(ordinal, ordinal + len(drawn)), drawn)
            ordinal += missing
            stored, fit, _ = self._store(builder, built, tally, turn)
            # Values that lie side by side may be one to an index over an expression: then go further away.
            ordinal += 97 * (turn + 1) if turn + 1 >= ROUNDS or (turn and not stored.count) else 0
            tally.saturated = tally.saturated or builder.saturated or ""
            if turn == 0 and rows >= BULK_FROM and not tally.saturated and not copies:
                tally.filled += grow(self._session, self._table, builder, rows - tally.filled)
            if tally.filled >= rows or tally.saturated or self._hopeless(tally):
                break
            if fit and not tally.filled:
                tally.reason = refusal(self._session, self._table, builder.insertable, fit[-1])
                if self._hopeless(tally):
                    break
            if turn + 1 >= ROUNDS and not stored.count:
                break
        return tally

    def _store(
        self,
        builder: RowBuilder,
        built: Sequence[Row],
        tally: Tally,
        turn: int = 0,
        kept: frozenset[str] = frozenset(),
    ) -> tuple[Stored, list[Row], str]:
        witness = make_witness(self._session, builder, self._seed, self._parents, kept, turn)
        fit, unmet = witness.repair(built)
        stored = insert(self._session, self._table, builder.insertable, fit) if fit else Stored(0)
        tally.filled += stored.count
        tally.accepted += stored.accepted
        tally.elsewhere = tally.elsewhere or stored.elsewhere
        tally.reason = tally.reason or stored.reason or (self._unmet(unmet, kept) if unmet else "")
        return stored, fit, unmet

    def _unmet(self, check: str, kept: frozenset[str]) -> str:
        """What to say of a CHECK that no row meets: values of the user's were not replaced."""
        named = {name for one in self._table.checks if one.name == check for name in one.columns}
        given = sorted(named & (kept | self._table.generated_by_user))
        return f"the values given for {', '.join(given)} do not meet {check}" if given else unmet_reason(check)

    @staticmethod
    def _hopeless(tally: Tally) -> bool:
        """Nothing went in, and not because of values that others have already."""
        collided = tally.reason.startswith("23505") and not tally.elsewhere
        return bool(tally.reason) and not tally.filled and not collided

    def _draw(self, builder: RowBuilder, count: int, tally: Tally) -> list[Row]:
        drawn = draw(self._session, builder.sequences, count)
        if not builder.sequences or not count or drawn[-1]:
            return drawn
        room, name = left(self._session, self._table, builder.sequences)
        if name and room < count:
            tally.saturated = f"sequence {name}"
            return draw(self._session, builder.sequences, room)
        return drawn

    def _known(self, builder: RowBuilder) -> list[Row]:
        names = list(dict.fromkeys(column for unique in builder.finite for column in unique.columns))
        if not names:
            return []
        shown = ", ".join(f"{quote_identifier(name)}::text" for name in names)
        text = f"SELECT {shown} FROM {self._table.ident.only} LIMIT {KNOWN_KEYS}"
        return [dict(zip(names, row, strict=True)) for row in self._session.query(text)]

    def _count(self) -> int:
        return int(self._session.query(f"SELECT count(*) FROM {self._table.ident.only}")[0][0])

    def _imitate(self, tally: Tally, rows: int, existing: int) -> None:
        """Where a trigger refuses most values: rows like those it took, but for what has to differ."""
        builder = self._builder()
        accepted = tally.accepted[:POOL]
        if not accepted and self._more:
            accepted = read_rows(self._session, self._table, [column.name for column in builder.insertable])[1][:POOL]
        if not accepted:
            return
        differing = {column for unique in self._table.uniques for column in unique.columns} | builder.sequences.keys()
        copied = [column.name for column in builder.insertable if column.name not in differing]
        start = existing + FRESH // 2
        for _ in range(ROUNDS):
            missing = rows - tally.filled
            drawn = self._draw(builder, missing, tally)
            add_sql(self._session, self._table, self._seed, start, drawn)
            built = builder.build(range(start, start + missing), drawn)
            start += missing
            for row, like in zip(built, cycle(accepted), strict=False):
                row.update({name: like.get(name) for name in copied})
            stored, _, _ = self._store(builder, built, tally)
            if tally.filled >= rows or not stored.count:
                break

    def _with_fresh_keys(self, tally: Tally, rows: int, existing: int) -> None:
        """Where a trigger writes the parent's row itself: keys that no parent has yet."""
        keys = self._table.ident.foreign_keys
        fresh = frozenset(key.parent for key in keys if str(self._catalog.names[key.parent]) == tally.elsewhere)
        if not fresh or tally.filled >= rows:
            return
        again = self._rounds(self._builder(fresh), rows - tally.filled, FRESH + existing)
        tally.filled += again.filled
        tally.reason = again.reason or tally.reason
        for parent in fresh:
            self._parents.forget(parent)

    def _bypassing(self, tally: Tally, rows: int) -> SeedReport:
        """A table whose triggers refuse everything gets its rows with them off: rows that no application wrote."""
        with without_triggers(self._session, self._table) as names:
            again = self._rounds(self._builder(), rows, 0) if names else Tally()
        if not again.filled:
            return self._report(tally, rows, 0)
        reason = f"{tally.reason}; filled with its triggers off: {', '.join(names)}"
        return report(self._table, rows, again.filled, reason, "trigger-bypassed")
