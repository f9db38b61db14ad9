"""What became of a migration that was cut short and run again. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_pgmigrate.model.evidence import ServerError
from pytest_pgmigrate.model.migration import Statement
from pytest_pgmigrate.model.state import Difference


@dataclass(frozen=True, slots=True)
class Cut:
    """One interruption of the up, and the whole up run again after it.

    ``how``: ``terminated`` (the session was ended after ``statement``, or at its internal commit ``stop``),
    ``lock_timeout`` (``statement`` gave up behind an open writer of ``table``) or ``crash`` (the server stopped at internal
    commit ``stop`` of ``statement``, or when that had committed). ``whole``: the interrupted run had nothing left to do.
    ``left`` is what it left of itself, ``difference`` how the run after it differs from a clean one.
    ``held``: which statement took the advisory lock that the session, which lives on after a lock_timeout, still held.
    """

    how: str
    statement: Statement
    index: int
    table: str = ""
    stop: int = 0
    whole: bool = False
    left: Difference = field(default_factory=Difference)
    retry: ServerError | None = None
    difference: Difference = field(default_factory=Difference)
    held: Statement | None = None


@dataclass(frozen=True, slots=True)
class InterruptEvidence:
    """Every cut that was tried; ``statements`` of the up could have been cut after, ``notes`` say what was not tried."""

    cuts: tuple[Cut, ...] = ()
    statements: int = 0
    notes: tuple[str, ...] = ()
