"""Values of columns that draw from a sequence: drawn before the rows are made, so that rows are whole."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import Row, Table, quote_literal

_LIMITS = "SELECT seqstart, seqincrement, seqmin, seqmax FROM pg_catalog.pg_sequence WHERE seqrelid = {}::regclass"


def draw(session: Session, sequences: Mapping[str, str], count: int) -> list[Row]:
    """``count`` rows holding the columns of ``sequences`` (column to quoted sequence); without them where one ends."""
    rows: list[Row] = [{} for _ in range(count)]
    if sequences and count:
        calls = ", ".join(f"nextval({quote_literal(name)})::text" for name in sequences.values())
        drawn = session.attempt(f"SELECT {calls} FROM generate_series(1, {count})")
        for row, values in zip(rows, drawn if isinstance(drawn, list) else [], strict=False):
            row.update(zip(sequences, values, strict=True))
    return rows


def left(session: Session, table: Table, sequences: Mapping[str, str]) -> tuple[int, str]:
    """How many rows the sequences can still number, and the one that ends first; what was drawn in vain is given back.

    nextval is not undone with a transaction (PostgreSQL manual, "Sequence Manipulation Functions").
    """
    least, first = 1 << 62, ""
    for column, name in sequences.items():
        start, step, low, high = session.query(_LIMITS.format(quote_literal(name)))[0]
        largest = "max" if step > 0 else "min"
        quoted = table.by_name[column].quoted
        last = session.query(f"SELECT {largest}({quoted}) FROM {table.ident.only}")[0][0]
        following = start if last is None else int(last) + step
        count = max((high - following) // step + 1 if step > 0 else (following - low) // -step + 1, 0)
        if count:
            session.query(f"SELECT setval({quote_literal(name)}, {following}, false)")
        if count < least:
            least, first = count, name
    return least, first


def catch_up(session: Session, table: Table) -> int:
    """Move sequences that stand behind the rows' keys past them; how many rows there are."""
    sequences = [(column.quoted, column.sequence) for column in table.columns if column.sequence]
    ends = "".join(f", max({column})::text, min({column})::text" for column, _ in sequences)
    found = session.attempt(f"SELECT count(*){ends} FROM {table.ident.only}")
    if not isinstance(found, list):
        return 0
    for (_, sequence), high, low in zip(sequences, found[0][1::2], found[0][2::2], strict=True):
        if high is not None and high.lstrip("-").isdigit():
            name = quote_literal(sequence)
            last = f"coalesce(pg_sequence_last_value({name}::regclass), 0)"
            session.attempt(
                f"SELECT setval({name}, CASE WHEN seqincrement > 0 THEN {high} ELSE {low} END) FROM pg_catalog.pg_sequence "
                f"WHERE seqrelid = {name}::regclass AND CASE WHEN seqincrement > 0 THEN {high} > {last} ELSE {low} < {last} END"
            )
    return int(found[0][0])
