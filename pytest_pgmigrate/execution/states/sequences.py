"""Values of sequences, at every read of all that were ever called.

``nextval`` writes WAL for 32 values at once (sequence.c, SEQ_LOG_VALS), so a sequence that WAL does not name may have
moved. One that was never called cannot, unless it is unlogged: the first ``nextval``, ``setval`` and ALTER SEQUENCE
always write WAL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from pytest_pgmigrate.execution.states.line import array
from pytest_pgmigrate.model.state import SequenceValue

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.line import Answer, Line
    from pytest_pgmigrate.execution.states.model import Sequence
    from pytest_pgmigrate.execution.states.wal import Touched

# No value for a sequence that nextval was not called on.
_CALLED = b"""
    select string_agg(concat_ws(' ', c.oid, pg_sequence_last_value(c.oid)), ',')
    from unnest($1::oid[]) s join pg_class c on c.oid = s
"""
_AT_ONCE = 50


class Asked(NamedTuple):
    """Values that were asked for, of those that may have moved."""

    moving: list[int]
    answer: Answer


class Sequences:
    """The values by OID."""

    def __init__(self) -> None:
        self._values: dict[int, SequenceValue] = {}
        self._sequences: dict[int, Sequence] = {}
        self._text: str | None = None
        self._calling: list[int] = []
        """Those that were called."""
        self._uncalled: set[int] = set()
        """Files of the logged ones that were not called."""
        self._unlogged = False
        """Some unlogged one was not called."""
        self.by_name: dict[str, SequenceValue] = {}

    def ask(self, line: Line, touched: Touched | None, ahead: Asked | None = None) -> Asked | None:
        """Ask for those of the last read that may have moved, so that the answer comes with whatever is asked next.

        ``ahead``: asked before it was known what was touched. None when there is nothing to ask.
        """
        moving = self._calling
        if self._may_be_set(touched):
            moving = [oid for oid, s in self._sequences.items() if self._values[oid].is_called or _written(s, touched)]
        if not moving or (ahead is not None and ahead.moving == moving):
            return ahead if moving else None
        return Asked(moving, line.ask(_CALLED, array(moving)))

    def read(self, line: Line, sequences: Mapping[int, Sequence], touched: Touched | None, asked: Asked | None) -> None:
        """Take in what was ``asked`` and read the others; ``touched`` None: any of them may have been set."""
        text = asked.answer.texts()[0] if asked is not None else None
        if text == self._text and sequences == self._sequences and not self._may_be_set(touched):
            self._sequences = dict(sequences)
            return
        called = _called(text)
        values: dict[int, SequenceValue] = {}
        ask: list[int] = []
        for oid, sequence in sequences.items():
            known = self._values.get(oid)
            if oid in called:
                same = known is not None and known.is_called and known.last_value == called[oid]
                values[oid] = known if same and known is not None else SequenceValue(called[oid], True)
            elif known is None or known.is_called or self._moved(oid, sequence) or _written(sequence, touched):
                ask.append(oid)
            else:
                values[oid] = known
        values.update(
            _exactly(line, {oid: sequences[oid] for oid in ask if not self._read_now(oid, sequences, values)})
        )
        self._values, self._sequences, self._text = values, dict(sequences), text
        self._calling = [oid for oid, value in values.items() if value.is_called]
        self._uncalled = {s.file for oid, s in sequences.items() if not (s.unlogged or values[oid].is_called)}
        self._unlogged = any(s.unlogged and not values[oid].is_called for oid, s in sequences.items())
        by_name = {sequence.name: values[oid] for oid, sequence in sequences.items()}
        if by_name != self.by_name:
            self.by_name = by_name

    def _read_now(self, oid: int, sequences: Mapping[int, Sequence], values: dict[int, SequenceValue]) -> bool:
        """Take the value that came with a definition read just now."""
        sequence = sequences[oid]
        if sequence.value is None or sequence is self._sequences.get(oid):
            return False
        values[oid] = sequence.value
        return True

    def _moved(self, oid: int, sequence: Sequence) -> bool:
        return self._sequences[oid].file != sequence.file

    def _may_be_set(self, touched: Touched | None) -> bool:
        """Whether some sequence that was not called may have another value all the same."""
        return touched is None or self._unlogged or not self._uncalled.isdisjoint(touched.files)


def _written(sequence: Sequence, touched: Touched | None) -> bool:
    return touched is None or sequence.unlogged or sequence.file in touched.files


def _called(text: str | None) -> dict[int, int]:
    found = {}
    for item in text.split(",") if text else ():
        oid, _, value = item.partition(" ")
        if value:
            found[int(oid)] = int(value)
    return found


def _exactly(line: Line, sequences: Mapping[int, Sequence]) -> dict[int, SequenceValue]:
    rows: list[tuple[int, int, bool]] = []
    oids = list(sequences)
    for start in range(0, len(oids), _AT_ONCE):
        query = " union all ".join(
            f"select {oid}::int8, last_value, is_called from {sequences[oid].name}"
            for oid in oids[start : start + _AT_ONCE]
        )
        rows += line.connection.execute(query.encode(), prepare=False).fetchall()
    return {oid: SequenceValue(value, called) for oid, value, called in rows}
