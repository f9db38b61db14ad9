"""What room 4 hands over: evidence, what was seen of one migration's examination. Plain data, nothing judged yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pytest_pgmigrate.model.cluster import EdgeRow, SeedReport
from pytest_pgmigrate.model.migration import Direction, Migration, Place, Statement
from pytest_pgmigrate.model.replica import UnloggedTable
from pytest_pgmigrate.model.state import Difference
from pytest_pgmigrate.model.watch import Scaled, StatementSeen

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServerError:
    """What the server (or the client library) said when a script failed."""

    sqlstate: str
    message: str
    place: Place
    detail: str = ""
    hint: str = ""
    context: str = ""
    statement: Statement | None = None
    """The statement that failed, where it is known."""


@dataclass(frozen=True, slots=True)
class StatementRun:
    """One statement of a watched script: how long it took (seconds, information only) and its command tag."""

    statement: Statement
    seconds: float
    tag: str = ""


@dataclass(frozen=True, slots=True)
class SessionLeak:
    """Something a script left behind in its session: ``name`` is the setting or the thing, ``found`` its value."""

    name: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class IgnoredData:
    """Values that differ and that the user's list leaves out; ``column`` "" is the whole table.

    ``rows`` is how many differ, 0 where they were not counted.
    """

    pattern: str
    table: str
    column: str
    rows: int


@dataclass(frozen=True, slots=True)
class SequenceBehind:
    """A sequence that will give values which its column holds already.

    ``next_value`` is what nextval gives next, ``taken`` the first value from there on that a row has, ``furthest`` the
    last one (the largest, of a descending sequence the smallest). The column is unique, so that INSERT fails there.
    """

    sequence: str
    table: str
    column: str
    next_value: int
    taken: int
    furthest: int
    increment: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One pass of one script: up, down, up again, rerun.

    ``difference`` compares the state that the step left with the state it should have left (for a first up: what the
    up changed is in ``MigrationEvidence.changed`` instead, and ``difference`` is what a failed up left behind).
    ``explained`` names the differences recognised as clock values and generated keys.
    """

    name: str
    direction: Direction
    ran: bool = False
    error: ServerError | None = None
    seconds: float = 0.0
    started_at: str = ""
    statements: tuple[StatementRun, ...] = ()
    watched: tuple[StatementSeen, ...] = ()
    """Locks, scans, rewrites, WAL of every statement that was sent, of a watched step; the failed one comes last."""

    notes: tuple[str, ...] = ()
    """What could not be watched, in words."""

    difference: Difference = field(default_factory=Difference)
    explained: tuple[str, ...] = ()
    ignored: tuple[IgnoredData, ...] = ()
    """What differed too, and ``--pgmigrate-ignore-data`` leaves out of ``difference``."""

    behind: tuple[SequenceBehind, ...] = ()
    """Sequences that stand behind their column after this step and did not before the migration."""

    unpopulated: tuple[str, ...] = ()
    """Materialized views without data after this step that had some, or were not there, before the migration."""

    seen: Mapping[str, object] = field(default_factory=dict)
    """What each probe reports, by the probe's name."""

    @property
    def leaks(self) -> tuple[SessionLeak, ...]:
        """What the ``session`` probe found left behind."""
        found = self.seen.get("session", ())
        return found if isinstance(found, tuple) else ()

    @property
    def succeeded(self) -> bool:
        """Ran to its end without an error."""
        return self.ran and self.error is None


@dataclass(frozen=True, slots=True)
class LostRows:
    """Rows of one table that a down did not keep. ``kind`` is ``before`` (existed before the up) or ``later``."""

    table: str
    kind: str
    expected: int
    missing: int
    changed: int
    columns: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LaterRows:
    """Lane B: what became of rows while the up and the down ran around an application's writes."""

    ran: bool = False
    written: int = 0
    up: Step | None = None
    down: Step | None = None
    lost: tuple[LostRows, ...] = ()
    ignored: tuple[IgnoredData, ...] = ()
    reason: str = ""
    """Why the lane did not run or could not be judged, in words."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """Rows that a script takes for granted not to be there: legal at the version before, and they make it fail.

    ``rows`` share one table and column; empty where ``fitted``: rows that fit both versions' constraints pass, those
    made for the version before alone do not. ``later``: the rows were written after the up, at the version it makes.
    """

    direction: Direction
    error: ServerError
    rows: tuple[EdgeRow, ...] = ()
    later: bool = False
    fitted: bool = False


@dataclass(frozen=True, slots=True)
class LostEdge:
    """An edge row that up and down do not give back as it was: ``now`` its value after them, ``gone`` the whole row."""

    row: EdgeRow
    now: str | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class EdgeEvidence:
    """The migration taken through rows at the boundaries of their columns: what it assumes, what it loses of them."""

    written: int = 0
    assumptions: tuple[Assumption, ...] = ()
    lost: tuple[LostEdge, ...] = ()
    lost_later: tuple[LostEdge, ...] = ()
    """The same of rows written after the up, with values that only the new version can hold."""

    reason: str = ""
    """Why it was not tried, in words."""


@dataclass(frozen=True, slots=True)
class Unsteady:
    """A table that the up leaves otherwise on a clone whose rows lie in another physical order.

    ``columns`` are those that differ (beyond clocks and generated keys), none where whole rows do; ``examples`` at most
    three rows with both values.
    """

    table: str
    columns: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplicaEvidence:
    """The replica after the migration: whether it caught up (seconds waited) and equals the primary."""

    ran: bool = False
    caught_up: bool = False
    seconds: float = 0.0
    difference: Difference = field(default_factory=Difference)
    reason: str = ""
    unlogged: tuple[UnloggedTable, ...] = ()
    """Tables that the up made or set unlogged."""


@dataclass(frozen=True, slots=True)
class MigrationEvidence:
    """Everything seen of one migration.

    ``status``: ``examined``; ``failed`` (the up failed, or cannot be sent); ``skipped`` (needs an object of a failed
    migration, see ``reason``); ``applied`` (not selected: applied only).
    """

    migration: Migration
    status: str
    reason: str = ""
    up: Step | None = None
    changed: Difference = field(default_factory=Difference)
    down: Step | None = None
    again: Step | None = None
    rerun: Step | None = None
    later: LaterRows = field(default_factory=LaterRows)
    edge: EdgeEvidence = field(default_factory=EdgeEvidence)
    unsteady: tuple[Unsteady, ...] = ()
    drills: tuple[object, ...] = ()
    """What each drill saw, an object of a type of its own; ``drilled`` finds it."""

    replica: ReplicaEvidence = field(default_factory=ReplicaEvidence)
    rows_before: Mapping[str, int] = field(default_factory=dict)
    """Rows of every table before the up, by qualified name."""

    scaled: tuple[Scaled, ...] = ()
    """Counters of the up at two data sizes (``--pgmigrate-scale``)."""

    production_rows: Mapping[str, int] = field(default_factory=dict)
    """Rows that tables have in production, by qualified name, as far as the user said (``production_rows``)."""

    seeded: tuple[SeedReport, ...] = ()
    missing_extension: str = ""
    """Name of an extension that the engine's PostgreSQL does not have, though the up creates it."""

    engine: str = ""
    seconds: float = 0.0

    @property
    def down_faulty(self) -> bool:
        """The down failed or left something other than before."""
        return self.down is not None and self.down.ran and (self.down.error is not None or bool(self.down.difference))

    def drilled(self, kind: type[T]) -> T | None:
        """What the drill with evidence of this type saw, None when it did not run."""
        return next((seen for seen in self.drills if isinstance(seen, kind)), None)
