"""The repairer of one table's rows (witness.py), given what it needs to know of the table's foreign keys."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_pgmigrate.seeding.candidates import CandidateMaker
from pytest_pgmigrate.seeding.draw import Stream
from pytest_pgmigrate.seeding.judge import Judge
from pytest_pgmigrate.seeding.parents import Parents
from pytest_pgmigrate.seeding.rows import RowBuilder
from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.witness import Witness


def make_witness(
    session: Session, builder: RowBuilder, seed: int, parents: Parents, frozen: frozenset[str], turn: int = 0
) -> Witness:
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
    maker = CandidateMaker(seed, name, builder.maker, linked, builder.spare, turn)
    # What was drawn from a sequence stays: other rows may point to it, and the sequence already moved.
    kept = frozen | frozenset(builder.sequences) | table.generated_by_user
    return Witness(Judge(session, table), table, maker, Stream(seed, name, "@witness"), kept)
