"""What the drills on the replica saw. Plain data, nothing judged yet."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_pgmigrate.model.migration import Statement


@dataclass(frozen=True, slots=True)
class ReplayedLocks:
    """AccessExclusive locks that replay of one statement took on the replica, by qualified name, indexes included.

    ``blocked`` are the tables that a new SELECT there could not read meanwhile; ``held`` False where the statement had
    committed by the time the replica could be asked: its locks came and went with the replay.
    """

    statement: Statement
    index: int
    relations: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    held: bool = True


@dataclass(frozen=True, slots=True)
class ReaderSeen:
    """What became of a transaction on the replica that had read ``table`` before the migration and was still open.

    ``outcome``: ``waited`` (replay stood still until it ended), ``cancelled`` (the server ended it, with ``sqlstate``)
    or ``undisturbed``. ``statement`` is the one whose replay met it, None for ``undisturbed``. ``delay`` is
    max_standby_streaming_delay as the replica shows it, ``feedback`` its hot_standby_feedback.
    """

    table: str
    outcome: str
    delay: str
    feedback: bool
    statement: Statement | None = None
    index: int = -1
    sqlstate: str = ""


@dataclass(frozen=True, slots=True)
class ReplayCost:
    """The up replayed at one go after replay was held back: WAL bytes and seconds, information only."""

    wal_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ReplicaReader:
    """The up with readers on the replica: the locks replayed there, what became of the readers, what replay costs."""

    locks: tuple[ReplayedLocks, ...] = ()
    readers: tuple[ReaderSeen, ...] = ()
    """With the replica's settings as they are."""

    matrix: tuple[ReaderSeen, ...] = ()
    """With four combinations of settings (``--pgmigrate-replica-matrix``)."""

    replay: ReplayCost | None = None
    notes: tuple[str, ...] = ()
    """What could not be tried, in words."""


@dataclass(frozen=True, slots=True)
class GuardTrial:
    """The up run while a standby lags: ``stopped`` when the guard failed or waited; ``asked`` when it was seen to look.

    ``how``: ``shown`` (it was shown a standby that is far behind), ``setting`` (its own threshold was set to nothing
    while replay was held back), ``paused`` (replay held back for ``seconds``). ``message`` is the guard's.
    """

    how: str
    stopped: bool
    asked: bool = True
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Guard:
    """A statement of the up that compares the lag of a standby and would stop the migration.

    ``function`` is the routine that does it, "" when the statement does it itself; ``source`` the names it reads
    (``pg_stat_replication``, ``pg_last_xact_replay_timestamp``).
    """

    statement: Statement
    index: int
    function: str
    source: tuple[str, ...]
    trials: tuple[GuardTrial, ...] = ()

    @property
    def stops(self) -> bool:
        """Whether it stopped the migration in any trial."""
        return any(trial.stopped for trial in self.trials)

    @property
    def null_on_primary(self) -> tuple[str, ...]:
        """Functions it reads that know an answer only on a standby.

        https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL
        """
        return tuple(name for name in self.source if name.startswith("pg_last_"))

    @property
    def always_null(self) -> bool:
        """Nothing that it reads depends on any standby: on a primary it sees the same whatever the lag."""
        return bool(self.source) and len(self.null_on_primary) == len(self.source)


@dataclass(frozen=True, slots=True)
class LagGuards:
    """Every lag guard of the up, and how it did."""

    guards: tuple[Guard, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be tried, in words."""


@dataclass(frozen=True, slots=True)
class UnloggedTable:
    """A table that the up leaves unlogged: none of its rows is on a replica. ``rows`` it had before, if it was there."""

    name: str
    existed: bool
    rows: int = 0
