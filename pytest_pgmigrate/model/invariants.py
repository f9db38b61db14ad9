"""What became of the user's invariants at one migration. Plain data, nothing judged yet."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_pgmigrate.model.migration import Invariant, Place


@dataclass(frozen=True, slots=True)
class BrokenInvariant:
    """An invariant that returned rows. ``step``: where it broke, in words; ``rows``: the first ones, as text."""

    invariant: Invariant
    step: str
    count: int
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailedInvariant:
    """An invariant whose SQL the server refused. ``ended``: it could be run before this migration, and what it reads
    is gone now.
    """

    invariant: Invariant
    step: str
    sqlstate: str
    message: str
    place: Place
    ended: bool = False


@dataclass(frozen=True, slots=True)
class VerifyEvidence:
    """All invariants of one migration. ``asked`` counts them; ``before`` returned rows already at the version before."""

    asked: int
    broken: tuple[BrokenInvariant, ...] = ()
    failed: tuple[FailedInvariant, ...] = ()
    before: tuple[BrokenInvariant, ...] = ()
