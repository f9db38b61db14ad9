"""Values of sequences, all of them at every read.

``nextval`` writes WAL for 32 values at once (sequence.c, SEQ_LOG_VALS), so what WAL does not name may have moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.model.state import SequenceValue

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHUNK = 32


def read_sequences(
    connection: psycopg.Connection[Any], sequences: Mapping[int, str], last: Mapping[str, SequenceValue]
) -> dict[str, SequenceValue]:
    """``last_value`` and ``is_called`` by name; equal values are taken over from ``last``."""
    # In chunks by OID: one more sequence makes one statement new, not all of them.
    ordered = sorted(sequences.items())
    chunks = [ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK)]
    cursors = []
    with connection.pipeline():
        for chunk in chunks:
            query = _query([name for _, name in chunk]).encode()
            cursors.append(connection.execute(query, prepare=True))
    found: dict[str, SequenceValue] = {}
    for chunk, cursor in zip(chunks, cursors, strict=True):
        for number, value, called in cursor:
            name = chunk[number][1]
            known = last.get(name)
            same = known is not None and known.last_value == value and known.is_called == called
            found[name] = known if same and known is not None else SequenceValue(value, called)
    return found


def _query(names: Sequence[str]) -> str:
    return " union all ".join(
        f"select {number}, last_value, is_called from {name}" for number, name in enumerate(names)
    )
