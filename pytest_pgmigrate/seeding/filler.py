"""Fills the tables of one catalog, step by step in foreign-key order."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_pgmigrate.model.cluster import SeedReport
from pytest_pgmigrate.seeding.candidates import CandidateMaker
from pytest_pgmigrate.seeding.copies import copied_rows
from pytest_pgmigrate.seeding.draw import Stream
from pytest_pgmigrate.seeding.judge import Judge
from pytest_pgmigrate.seeding.links import write_links
from pytest_pgmigrate.seeding.load import Stored, insert, insert_together, refusal
from pytest_pgmigrate.seeding.parents import Parents
from pytest_pgmigrate.seeding.plan import Step, order
from pytest_pgmigrate.seeding.rows import EmptyParent, RowBuilder
from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import Catalog, Row, Table, quote_identifier, quote_literal
from pytest_pgmigrate.seeding.witness import Witness, unmet_reason

ROUNDS = 4
"""How often missing rows are tried again with other values."""

KNOWN_KEYS = 20000


class Filler:
    """Fills every table of ``catalog.tables``."""

    def __init__(self, session: Session, catalog: Catalog, seed: int) -> None:
        self._session = session
        self._catalog = catalog
        self._seed = seed
        self._parents = Parents(session, catalog.names)

    def fill(self, rows: int, *, more: bool = False) -> tuple[SeedReport, ...]:
        """Insert ``rows`` rows into each table; ``more`` when the tables may have rows already."""
        reports: list[SeedReport] = []
        steps = order(self._catalog.tables)
        for step in steps:
            if len(step.tables) > 1:
                reports += self._together(step, rows, more)
                continue
            table = self._catalog.tables[step.tables[0]]
            skip = frozenset(key.name for _, key in step.later)
            reports.append(self._one(table, rows, more, skip))
            self._parents.forget(table.ident.oid)
        for step in steps:
            for oid, key in step.later:
                write_links(self._session, self._catalog.tables[oid], key, self._parents, self._seed)
        return tuple(reports)

    def _one(self, table: Table, rows: int, more: bool, skip: frozenset[str]) -> SeedReport:
        if table.partitions == 0:
            return self._report(table, rows, 0, "the partitioned table has no partition")
        existing = self._prepare(table) if more else 0
        builder = RowBuilder(self._catalog, table, self._seed, self._parents, skip)
        if more:
            builder.remember(self._known(table, builder))
        try:
            return self._rounds(table, builder, rows, existing)
        except EmptyParent as error:
            return self._report(table, rows, 0, f"parent {error} is empty")

    def _rounds(self, table: Table, builder: RowBuilder, rows: int, existing: int) -> SeedReport:
        filled, reason, ordinal = 0, "", existing
        copies = copied_rows(self._session, table, self._catalog.names)
        for _ in range(ROUNDS):
            missing = rows - filled
            drawn = self._draw(builder, missing)
            for row, copied in zip(drawn, copies[ordinal:], strict=False):
                row.update(copied)
            built = builder.build(range(ordinal, ordinal + missing), drawn)
            ordinal += missing
            fit, unmet = self._witness(builder).repair(built)
            stored = self._insert(table, builder, fit)
            filled += stored.count
            reason = reason or stored.reason or (unmet_reason(unmet) if unmet else "")
            if filled >= rows or builder.saturated or (reason and not stored.count):
                break
            if fit and not stored.count:
                reason = reason or refusal(self._session, table, builder.insertable, fit[-1])
                if not reason.startswith("23505"):
                    break
        if builder.saturated and filled < rows and not reason:
            return self._report(
                table, rows, filled, f"{builder.saturated} admits no more rows", saturated=filled + existing > 0
            )
        return self._report(table, rows, filled, reason)

    def _insert(self, table: Table, builder: RowBuilder, rows: Sequence[Row]) -> Stored:
        return insert(self._session, table, builder.insertable, rows) if rows else Stored(0)

    def _witness(self, builder: RowBuilder, frozen: frozenset[str] = frozenset()) -> Witness:
        return make_witness(self._session, builder, self._seed, self._parents, frozen)

    def _draw(self, builder: RowBuilder, count: int) -> list[Row]:
        """Values of the columns that draw from a sequence, so that rows are whole before they are inserted."""
        rows: list[Row] = [{} for _ in range(count)]
        if builder.sequences and count:
            calls = ", ".join(f"nextval({quote_literal(name)})::text" for name in builder.sequences.values())
            drawn = self._session.attempt(f"SELECT {calls} FROM generate_series(1, {count})")
            for row, values in zip(rows, drawn if isinstance(drawn, list) else [], strict=False):
                row.update(zip(builder.sequences, values, strict=True))
        return rows

    def _prepare(self, table: Table) -> int:
        """How many rows there are; sequences that stand behind the rows' keys are moved past them."""
        sequences = [(column.quoted, column.sequence) for column in table.columns if column.sequence]
        largest = "".join(f", max({column})::text" for column, _ in sequences)
        found = self._session.attempt(f"SELECT count(*){largest} FROM {table.ident.only}")
        if not isinstance(found, list):
            return 0
        for (_, sequence), value in zip(sequences, found[0][1:], strict=True):
            if value is not None and value.lstrip("-").isdigit():
                name = quote_literal(sequence)
                behind = f"{value} > coalesce(pg_sequence_last_value({name}::regclass), 0)"
                self._session.attempt(f"SELECT setval({name}, {value}) WHERE {behind}")
        return int(found[0][0])

    def _known(self, table: Table, builder: RowBuilder) -> list[Row]:
        names = list(dict.fromkeys(column for unique in builder.finite for column in unique.columns))
        if not names:
            return []
        shown = ", ".join(f"{quote_identifier(name)}::text" for name in names)
        text = f"SELECT {shown} FROM {table.ident.only} LIMIT {KNOWN_KEYS}"
        return [dict(zip(names, row, strict=True)) for row in self._session.query(text)]

    def _together(self, step: Step, rows: int, more: bool) -> list[SeedReport]:
        """A cycle of NOT NULL foreign keys: make all rows first, then insert them by one statement."""
        tables = [self._catalog.tables[oid] for oid in step.tables]
        inside = set(step.tables)
        drafts: list[tuple[RowBuilder, list[Row]]] = []
        try:
            for table in tables:
                start = self._prepare(table) if more else 0
                skip = frozenset(
                    key.name for key in table.ident.foreign_keys if key.parent in inside - {table.ident.oid}
                )
                builder = RowBuilder(self._catalog, table, self._seed, self._parents, skip)
                made = builder.build(range(start, start + rows), self._draw(builder, rows))
                drafts.append((builder, made))
                self._parents.plan(table.ident.oid, made)
            parts = []
            for table, (first, made) in zip(tables, drafts, strict=True):
                linked = {column for key in table.ident.foreign_keys if key.parent in inside for column in key.columns}
                given = [{name: value for name, value in row.items() if name not in linked} for row in made]
                builder = RowBuilder(self._catalog, table, self._seed, self._parents, frozenset())
                whole = builder.build(range(len(given)), given)
                fit, _ = self._witness(builder, frozenset(self._referenced(table))).repair(whole)
                parts.append((table, first.insertable, fit))
        except EmptyParent as error:
            return [self._report(table, rows, 0, f"parent {error} is empty") for table in tables]
        result = insert_together(self._session, [part for part in parts if part[2]])
        for table in tables:
            self._parents.forget(table.ident.oid)
        if isinstance(result, str):
            return [self._report(table, rows, 0, result) for table in tables]
        counts = dict(zip((part[0].ident.oid for part in parts if part[2]), result, strict=True))
        return [self._report(table, rows, counts.get(table.ident.oid, 0), "") for table in tables]

    def _referenced(self, table: Table) -> set[str]:
        return {
            column
            for other in self._catalog.names.values()
            for key in other.foreign_keys
            if key.parent == table.ident.oid
            for column in key.referenced
        }

    def _report(self, table: Table, asked: int, filled: int, reason: str, *, saturated: bool = False) -> SeedReport:
        if filled >= asked:
            return SeedReport(str(table.ident), asked, filled, "full")
        status = "saturated" if saturated else "partial" if filled else "empty"
        return SeedReport(str(table.ident), asked, filled, status, reason or "rows collided with others")


def make_witness(session: Session, builder: RowBuilder, seed: int, parents: Parents, frozen: frozenset[str]) -> Witness:
    """The repairer of one table's rows."""
    table = builder.table
    keys = {key.columns[0]: key for key in table.ident.foreign_keys if len(key.pairs) == 1}
    composite = {column for key in table.ident.foreign_keys if len(key.pairs) > 1 for column in key.columns}

    def linked(column: str) -> Sequence[str | None]:
        if column in composite:
            return [None] if not table.by_name[column].not_null else ["0"]
        key = keys.get(column)
        if key is None:
            return []
        values = [row.get(key.referenced[0]) for row in parents.rows(key)[:12]]
        return values or ["0"]

    name = str(table.ident)
    maker = CandidateMaker(seed, name, builder.maker, linked, builder.spare)
    # What was drawn from a sequence stays: other rows may point to it, and the sequence already moved.
    kept = frozen | frozenset(builder.sequences)
    return Witness(Judge(session, table), table, maker, Stream(seed, name, "@witness"), kept)
