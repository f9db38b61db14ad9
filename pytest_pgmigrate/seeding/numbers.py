"""Numbers and points in time by column name, inside the ranges the constraints allow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

from pytest_pgmigrate.seeding.draw import Stream

Window = tuple["str | None", "str | None"]

EPOCH = datetime(2024, 1, 2, 8, 0, 0)
"""Fixed, so that the same seed gives the same rows on every day."""

_SPAN = timedelta(days=300)

_RANGES: tuple[tuple[str, float, float], ...] = (
    (r"price|cost|amount|total|fee|balance|salary|budget|revenue|payment|(^|_)tax", 1, 999),
    (r"quantity|qty", 1, 9),
    (r"stock|inventory|available", 1, 500),
    (r"(^|_)age($|_)", 18, 80),
    (r"year", 1990, 2024),
    (r"month", 1, 12),
    (r"(^|_)day", 1, 28),
    (r"hour", 0, 23),
    (r"minute", 1, 59),
    (r"percent|pct|discount|rate($|_)|ratio|probabil|share|vat", 0.01, 0.99),
    (r"rating|score|stars", 1, 5),
    (r"priority|rank|level|position|(^|_)(order|sort|ordinal|index|seq|sequence)($|_)", 1, 20),
    (r"(^|_)lat(itude)?($|_)", -60, 60),
    (r"(^|_)(lng|lon|longitude)($|_)", -170, 170),
    (r"port", 1024, 65000),
    (r"duration|seconds|ttl|timeout|interval|expires", 30, 3600),
    (r"version|revision|attempt|retr", 1, 9),
    (r"bytes|size", 1024, 900000),
    (r"count|usage|views|likes|limit|num", 1, 200),
)
_COMPILED = tuple((re.compile(pattern), low, high) for pattern, low, high in _RANGES)

_END = re.compile(
    r"expir|(^|_)(end|ends|ended|until|to|due|finish|finished|complete|completed|closed|valid_to)"
    r"|(^|_)(deleted|removed|cancell?ed|revoked|archived|delivered)"
)
_MIDDLE = re.compile(r"updat|modif|chang|last|verified|confirm|approv|paid|shipped|seen|used|synced|refresh|publish")
_BIRTH = re.compile(r"birth|(^|_)dob($|_)")


def decimal_or_none(text: str | None) -> Decimal | None:
    """The number a constant stands for, None when it is none."""
    try:
        number = Decimal(text) if text is not None else None
    except InvalidOperation:
        return None
    return number if number is None or number.is_finite() else None


def moment_or_none(text: str | None) -> datetime | None:
    """The timestamp or date a constant of ISO form stands for, its time zone (UTC here) dropped."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(re.sub(r"\+00(:00)?$", "", text.strip()))
    except ValueError:
        return None


def number_range(name: str, whole: bool) -> tuple[Decimal, Decimal]:
    """The plausible range for a column of this name."""
    lowered = name.lower()
    low, high = next(((low, high) for pattern, low, high in _COMPILED if pattern.search(lowered)), (1, 1000))
    if whole and high < 1:
        low, high = 1, 99
    return Decimal(str(low)), Decimal(str(high))


def number(
    stream: Stream, name: str, row: int, *, scale: int, windows: Sequence[Window], limit: Decimal | None, distinct: bool
) -> Decimal:
    """A number with ``scale`` decimals; ``distinct`` ones count up from the lowest allowed."""
    low, high = number_range(name, scale == 0)
    unit = Decimal(1).scaleb(-scale)
    if windows:
        low, high = _narrowed(windows[row % len(windows)], low, high, unit)
        row = row // len(windows) if distinct else row
    if limit is not None and high > limit:
        low, high = (min(low, limit), limit) if low < limit else (unit, limit)
    if distinct:
        start = max(low, unit) if not windows else low
        step = Decimal(1) if high - start > 100 or not windows else unit
        if limit is not None and limit >= start:
            row = int(row % ((limit - start) / step + 1))
        return (start + step * row).quantize(unit)
    steps = max(int((high - low) / unit), 0) + 1
    return (low + unit * stream.below(row, steps)).quantize(unit)


def _narrowed(window: Window, low: Decimal, high: Decimal, unit: Decimal) -> tuple[Decimal, Decimal]:
    """The name's range cut to the window, or the window itself where the two do not meet."""
    lowest, highest = (decimal_or_none(text) for text in window)
    # Bounds may be exclusive: one unit inside is right for both spellings.
    lowest = None if lowest is None else lowest + unit
    highest = None if highest is None else highest - unit
    low = low if lowest is None else max(low, lowest)
    high = high if highest is None else min(high, highest)
    if low <= high:
        return low, high
    if lowest is not None and highest is not None:
        return lowest, max(lowest, highest)
    return (lowest, lowest + 1000) if lowest is not None else (high - 1000, high)


def moment(
    clock: Stream, stream: Stream, name: str, row: int, *, windows: Sequence[Window], distinct: bool
) -> datetime:
    """A point in time. All columns of a row share one start, so that created, updated and expired follow each other."""
    lowered = name.lower()
    start, shift = EPOCH + timedelta(minutes=clock.below(row, 300 * 24 * 60)), timedelta()
    if distinct:
        start = EPOCH + timedelta(hours=7, minutes=11) * row
    if _BIRTH.search(lowered):
        start, shift = datetime(1960, 1, 1), timedelta(days=stream.below(row, 40 * 365))
    elif _END.search(lowered):
        shift = timedelta(days=30, minutes=stream.below(row, 60 * 24 * 60))
    elif _MIDDLE.search(lowered):
        shift = timedelta(hours=1, minutes=stream.below(row, 20 * 24 * 60))
    value = start + shift
    return _moved(value, windows[row % len(windows)], row // len(windows), stream) if windows else value


def _moved(value: datetime, window: Window, row: int, stream: Stream) -> datetime:
    low, high = (moment_or_none(text) for text in window)
    if low is None and high is None:
        return value
    if low is None:
        return value if high is not None and value < high else (high or value) - _SPAN + timedelta(seconds=row * 61)
    if high is None:
        return value if value > low else low + timedelta(minutes=1 + row * 61)
    if low < value < high:
        return value
    seconds = max(int((high - low).total_seconds()) - 1, 1)
    return low + timedelta(seconds=(1 + row * 86413 + stream.below(0, seconds)) % seconds)
