"""Questions sent before WAL has told what to ask: what scripts of the same kind wrote the last time.

Two server processes then look at the same moment, one at the WAL and one at the catalogs, and definitions come with the
rows that name them. WAL still decides: an answer counts only as far as WAL names its block and wrote nothing after it,
and whatever was not asked is asked afterwards. A wrong guess costs a round trip and never a difference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from pytest_pgmigrate.execution.states.mirror import Asked, Blocks
from pytest_pgmigrate.execution.states.wal import Touched, lsn_number

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.fetch import Fetcher
    from pytest_pgmigrate.execution.states.line import Line
    from pytest_pgmigrate.execution.states.sequences import Sequences
    from pytest_pgmigrate.execution.states.wal import Position

_READS = 3
"""Reads whose blocks are looked at again: up, down and up write the same ones in turn."""


class Ran(NamedTuple):
    """What ran since the last read: its ``kind``, and the ``words`` of its text, among them names of relations."""

    kind: Hashable = None
    words: frozenset[str] = frozenset()


class Habit(NamedTuple):
    """What scripts of one kind wrote the last time: catalogs, and kinds of parts of relations that were new or changed.

    ``named``: among them parts of relations whose own row was not written.
    """

    catalogs: Collection[str] = ()
    kinds: Collection[str] = ()
    named: bool = False


class Ahead:
    """What was asked ahead of one read."""

    def __init__(
        self,
        line: Line,
        habit: Habit,
        blocks: Mapping[str, Blocks],
        named: Collection[int],
        xmin: str,
        fetcher: Fetcher,
        sequences: Sequences,
    ) -> None:
        self.rows = Asked(line, blocks, xmin, "ahead", named)
        self.sequences = sequences.ask(line, Touched())
        self.parts = fetcher.ask_ahead(habit.kinds) if named or "pg_class" in blocks else {}

    def holds(self, position: Position) -> bool:
        """Whether the answers show everything that was written up to ``position``. Raises psycopg.Error."""
        self.rows.found()
        return self.rows.end >= lsn_number(position.last)

    def fresh(self, kind: str) -> frozenset[int]:
        """The objects whose parts of this kind were asked for."""
        if kind not in self.parts:
            return frozenset()
        return self.rows.sequences if kind == "sequence" else self.rows.relations


class Latest:
    """Blocks of catalogs that were written lately."""

    def __init__(self) -> None:
        self._blocks: dict[str, deque[Blocks]] = {}

    def note(self, written: Mapping[str, Blocks | None]) -> None:
        """What one read found."""
        for name, blocks in written.items():
            if blocks:
                self._blocks.setdefault(name, deque(maxlen=_READS)).append(blocks)

    def guess(self, names: Collection[str]) -> dict[str, Blocks]:
        """Where the next rows will be: where the last ones were, or in the next block once that one is full."""
        found = {}
        for name in names:
            known = self._blocks.get(name)
            if known:
                found[name] = frozenset().union(*known, (max(known[-1]) + 1,))
        return found
