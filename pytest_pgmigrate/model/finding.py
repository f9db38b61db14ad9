"""What room 5 hands over: findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from pytest_pgmigrate.model.migration import Place


class Severity(str, Enum):
    """``error`` fails the item, ``warning`` is shown and does not, ``info`` is in the timeline and the JSON report."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Part(str, Enum):
    """The examination parts: one pytest item per (migration, part)."""

    HISTORY = "history"
    APPLY = "apply"
    ROLLBACK = "rollback"
    REAPPLY = "reapply"
    RERUN = "rerun"
    DATA = "data"
    LOCKS = "locks"
    INTERRUPT = "interrupt"
    REPLICA = "replica"
    COMPAT = "compat"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where, what was observed, what it does to the running application, and the fix.

    ``observed`` holds plain JSON values (numbers, names, short lists); ``migration`` is ``Migration.key`` or ``""``
    for a finding about a file that belongs to no migration. ``ignored`` carries the reason of the directive that
    silenced it.
    """

    code: str
    slug: str
    severity: Severity
    part: Part
    migration: str
    place: Place
    message: str
    effect: str
    fix: str
    observed: dict[str, object] = field(default_factory=dict)
    details: tuple[str, ...] = ()
    """More lines to show below the message: differing objects, rows."""

    ignored: str | None = None


@dataclass(frozen=True, slots=True)
class NotJudged:
    """Something that could not be looked at, and why. Counted in the summary, never silent."""

    subject: str
    reason: str
    migration: str = ""
    part: str = ""
