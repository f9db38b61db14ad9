"""PostgreSQL's table-level lock modes and which of them exclude each other.

https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
"""

from __future__ import annotations

from enum import IntEnum


class Mode(IntEnum):
    """The eight table-level lock modes, weakest first; ``pg`` is the name that ``pg_locks.mode`` shows."""

    ACCESS_SHARE = 1
    ROW_SHARE = 2
    ROW_EXCLUSIVE = 3
    SHARE_UPDATE_EXCLUSIVE = 4
    SHARE = 5
    SHARE_ROW_EXCLUSIVE = 6
    EXCLUSIVE = 7
    ACCESS_EXCLUSIVE = 8

    @property
    def pg(self) -> str:
        """``AccessExclusiveLock``: the name in ``pg_locks``."""
        return "".join(word.capitalize() for word in self.name.split("_")) + "Lock"

    @classmethod
    def of(cls, name: str) -> Mode:
        """The mode that ``pg_locks.mode`` calls ``name``. Raises KeyError for what is no table-level mode."""
        return _BY_NAME[name]

    def conflicts(self, other: Mode) -> bool:
        """Whether two sessions cannot hold these modes on one relation at the same time."""
        return other in CONFLICTS[self]

    @property
    def blocks_writes(self) -> bool:
        """Whether INSERT, UPDATE and DELETE of an application wait for it."""
        return self.conflicts(Mode.ROW_EXCLUSIVE)

    @property
    def blocks_reads(self) -> bool:
        """Whether even a plain SELECT waits for it."""
        return self.conflicts(Mode.ACCESS_SHARE)


_BY_NAME = {mode.pg: mode for mode in Mode}

# The documentation's matrix: a mode conflicts with those listed.
_M = Mode
CONFLICTS: dict[Mode, frozenset[Mode]] = {
    _M.ACCESS_SHARE: frozenset({_M.ACCESS_EXCLUSIVE}),
    _M.ROW_SHARE: frozenset({_M.EXCLUSIVE, _M.ACCESS_EXCLUSIVE}),
    _M.ROW_EXCLUSIVE: frozenset({_M.SHARE, _M.SHARE_ROW_EXCLUSIVE, _M.EXCLUSIVE, _M.ACCESS_EXCLUSIVE}),
    _M.SHARE_UPDATE_EXCLUSIVE: frozenset(m for m in Mode if m >= _M.SHARE_UPDATE_EXCLUSIVE),
    _M.SHARE: frozenset(m for m in Mode if m >= _M.ROW_EXCLUSIVE and m is not _M.SHARE),
    _M.SHARE_ROW_EXCLUSIVE: frozenset(m for m in Mode if m >= _M.ROW_EXCLUSIVE),
    _M.EXCLUSIVE: frozenset(m for m in Mode if m >= _M.ROW_SHARE),
    _M.ACCESS_EXCLUSIVE: frozenset(Mode),
}
