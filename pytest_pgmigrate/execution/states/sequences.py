"""Values of sequences, all of them at every read.

``nextval`` writes WAL for 32 values at once (sequence.c, SEQ_LOG_VALS), so a sequence that WAL does not name may have
moved. One that was never called cannot, unless it is unlogged: the first ``nextval``, ``setval`` and ALTER SEQUENCE
always write WAL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.model.state import SequenceValue

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.execution.states.model import Sequence
    from pytest_pgmigrate.execution.states.wal import Touched

# NULL for a sequence that nextval was not called on.
_CALLED = """
    select string_agg(concat_ws(' ', s, pg_sequence_last_value(s::regclass)), ',')
    from unnest($1::oid[]) s
"""
_AT_ONCE = 50


class Sequences:
    """The values by OID."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[int, SequenceValue]] = {}
        self.by_name: dict[str, SequenceValue] = {}

    def read(
        self, connection: psycopg.Connection[Any], sequences: Mapping[int, Sequence], touched: Touched | None
    ) -> dict[str, SequenceValue]:
        """``last_value`` and ``is_called`` by name. ``touched`` None: any of them may have been set."""
        called = _called(connection, list(sequences)) if sequences else {}
        values: dict[int, tuple[int, SequenceValue]] = {}
        ask: list[int] = []
        for oid, sequence in sequences.items():
            known = self._values.get(oid)
            value = called.get(oid)
            if value is not None:
                same = known is not None and known[1].is_called and known[1].last_value == value
                values[oid] = (sequence.file, known[1] if same and known is not None else SequenceValue(value, True))
            elif known is None or known[1].is_called or known[0] != sequence.file or _written(sequence, touched):
                ask.append(oid)
            else:
                values[oid] = known
        for start in range(0, len(ask), _AT_ONCE):
            part = ask[start : start + _AT_ONCE]
            for oid, exact in _exactly(connection, {oid: sequences[oid] for oid in part}).items():
                values[oid] = (sequences[oid].file, exact)
        self._values = values
        by_name = {sequence.name: values[oid][1] for oid, sequence in sequences.items()}
        if by_name != self.by_name:
            self.by_name = by_name
        return self.by_name


def _written(sequence: Sequence, touched: Touched | None) -> bool:
    return touched is None or sequence.unlogged or sequence.file in touched.files


def _called(connection: psycopg.Connection[Any], oids: list[int]) -> dict[int, int]:
    row = connection.execute(_CALLED, (f"{{{','.join(map(str, oids))}}}",), prepare=True).fetchone()
    found = {}
    for item in row[0].split(",") if row and row[0] else ():
        oid, _, value = item.partition(" ")
        if value:
            found[int(oid)] = int(value)
    return found


def _exactly(connection: psycopg.Connection[Any], sequences: Mapping[int, Sequence]) -> dict[int, SequenceValue]:
    query = " union all ".join(
        f"select {oid}::int8, last_value, is_called from {sequence.name}" for oid, sequence in sequences.items()
    )
    return {oid: SequenceValue(value, called) for oid, value, called in connection.execute(query.encode())}
