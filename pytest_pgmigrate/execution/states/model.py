"""What the reader keeps of relations beyond what is compared."""

from __future__ import annotations

from typing import NamedTuple

from pytest_pgmigrate.execution.states.catalogs import PG_CLASS, PG_TYPE, Reference
from pytest_pgmigrate.model.state import SequenceValue


class Relation(NamedTuple):
    """A relation as the reader knows it; ``file`` and ``toast`` are relfilenodes."""

    oid: int
    name: str
    schema: str
    bare: str
    kind: str
    file: int
    toast: int
    row_type: int
    array_type: int
    unlogged: bool
    populated: bool

    @property
    def holds_rows(self) -> bool:
        """An ordinary table, a partition without partitions of its own, or a materialized view."""
        return self.kind in ("r", "m")

    def references(self) -> tuple[Reference, ...]:
        """How pg_depend names it: the relation, its row type and the array of that."""
        return ((PG_CLASS, self.oid), (PG_TYPE, self.row_type), (PG_TYPE, self.array_type))


class Column(NamedTuple):
    """A live column; ``vector`` is what decides, beside the stored rows, how its values read."""

    number: int
    name: str
    vector: str
    plain: bool
    """Not generated, and NULL in rows that were stored before the column was added."""


class Columns(NamedTuple):
    """The live columns of a relation in order."""

    columns: tuple[Column, ...]
    named: bool
    """Some column's text is the name of a catalog object (``regclass``), which any DDL may change."""


class Sequence(NamedTuple):
    """A sequence by name, with its relfilenode."""

    name: str
    file: int
    unlogged: bool
    value: SequenceValue | None = None
    """What it was when this was read; None where it has to be asked for."""
