"""What a backfill did to more rows than one of its batches takes. Plain data, nothing judged yet."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_pgmigrate.model.migration import Statement


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows of ``table`` whose ``column`` the up leaves NULL, or leaves at the value ``old`` (SQL), though it fills or changes
    the same rows elsewhere.

    ``total`` rows were there, ``rows`` of them were left; ``keys`` are the first of their keys as text, ``negative``
    counts those with a key below zero, ``after_gap`` those behind a gap in the keys. ``how`` says in words what fills them.
    ``capacity``: rows that a fixed number of batches takes at most, 0 where the number is not fixed.
    """

    table: str
    column: str
    statement: Statement | None
    total: int
    rows: int
    keys: tuple[str, ...]
    negative: int
    after_gap: int
    how: str
    old: str = ""
    capacity: int = 0


@dataclass(frozen=True, slots=True)
class CutRun:
    """The up cut by us in its second batch, and run again. ``error`` is what stopped the second run, "" when nothing did;
    ``differing`` are tables that then hold other rows than after a run that was not cut, as ``table: 7 rows, not 5``.
    """

    statement: Statement | None
    error: str = ""
    differing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BackfillEvidence:
    """One backfill on ``rows`` rows, of which a batch takes ``limit`` by its text (0: no number there).

    ``statements`` and ``transactions`` that wrote, ``most_in_statement`` and ``most_in_transaction`` rows of them at most;
    ``lag`` bytes that the replica was behind at most when a batch began (information: it hangs on the machine).
    """

    table: str
    statement: Statement | None
    rows: int
    limit: int
    statements: int = 0
    transactions: int = 0
    most_in_statement: int = 0
    most_in_transaction: int = 0
    lag: int = 0
    left: LeftOut | None = None
    cut: CutRun | None = None
