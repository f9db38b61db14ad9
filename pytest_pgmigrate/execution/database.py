"""One database of ours with its connections: the migration session, the control connection, the state reader."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.errors import ExecutionError
from pytest_pgmigrate.execution.blocking import AppQuery, Blocking
from pytest_pgmigrate.execution.gate import usable
from pytest_pgmigrate.execution.ledger import SCHEMA, Ledger
from pytest_pgmigrate.execution.pacing import Pace
from pytest_pgmigrate.execution.probes import make_probes
from pytest_pgmigrate.execution.runner import Runner
from pytest_pgmigrate.execution.send import receive
from pytest_pgmigrate.execution.states import Ran, StateReader, oracles
from pytest_pgmigrate.execution.states.line import Line
from pytest_pgmigrate.model.migration import Direction

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import psycopg

    from pytest_pgmigrate.execution.states.wal import WalOracle
    from pytest_pgmigrate.model.cluster import Cluster
    from pytest_pgmigrate.model.evidence import Step
    from pytest_pgmigrate.model.migration import Migration, Script
    from pytest_pgmigrate.model.state import State
    from pytest_pgmigrate.options import Settings

OUR_SCHEMAS = (SCHEMA,)

_WORD = re.compile(r"\w+")
_ENOUGH = 10_000
"""Characters of a chunk that are looked through for names: a guess may miss some."""


@dataclass(frozen=True, slots=True)
class Watch:
    """How watched steps are looked at: ``locks`` False, not statement by statement; ``blocking`` False, without trying
    the application's statements, to which ``queries`` adds the user's own.
    """

    locks: bool = True
    blocking: bool = True
    queries: tuple[AppQuery, ...] = ()


WATCH = Watch()
PATIENCE = 5.0
"""Seconds that our own connections wait for a lock: on a catalog, or the one that keeps a second runner out."""

LEDGER_BATCH = 64
"""Scripts noted before they are written into the ledger together; closing or cloning the database writes them at once."""


def session_options(settings: Settings) -> str:
    """How a migration session starts, as libpq's options."""
    return (
        f"-c lock_timeout={round(settings.lock_timeout * 1000)}"
        f" -c statement_timeout={round(settings.statement_timeout * 1000)}"
        # Rows that workers read would be counted later than looked for; waiting for a standby is what Gate does.
        " -c max_parallel_workers_per_gather=0 -c max_parallel_maintenance_workers=0 -c synchronous_commit=local"
    )


@dataclass(slots=True)
class _Follower:
    """Does what can be done while a script runs, and tells the reader what ran when the state is read ``after`` it."""

    reader: StateReader
    after: Ran | None
    first: Callable[[], None] | None

    def prepare(self) -> None:
        first, self.first = self.first, None
        if first is not None:
            first()
        if self.after is not None:
            self.reader.prepare(self.after)

    def ask(self) -> None:
        self.prepare()
        if self.after is not None:
            self.reader.ask(self.after)


class Database:
    """A database made by the cluster. Connections open when first needed; ``release`` closes them all.

    ``watch``: how watched steps are looked at; ``patience``: seconds that are waited for another runner to leave.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        settings: Settings,
        *,
        fresh: bool,
        watch: Watch = WATCH,
        patience: float = PATIENCE,
    ) -> None:
        self.cluster = cluster
        self.name = name
        self._options = session_options(settings)
        self._watch = watch
        self._blocking = Blocking(self._further, watch.queries)
        # Uncounted, so that rows we read ourselves are never taken for the migration's.
        uncounted = "" if cluster.engine == "external" else " -c track_counts=off"
        # A migration may lock the very catalogs that are read here; it must not wait for us, nor we for it.
        self._quiet = f"-c synchronous_commit=local -c lock_timeout={round(PATIENCE * 1000)}{uncounted}"
        self._patience = patience
        self._gated = usable(cluster)
        self._pace: Pace | None = Pace(cluster, settings)
        self.probes = make_probes()
        self._oracle: WalOracle | None = None
        self._acquired = False
        self._line: Line | None = None
        self._create_ledger = fresh
        self._session: psycopg.Connection[Any] | None = None
        self._discarding = False
        self._control: psycopg.Connection[Any] | None = None
        self._reader: StateReader | None = None
        self._ledger: Ledger | None = None
        self._runner: Runner | None = None
        self._ran = Ran()
        self._hints: dict[tuple[str, str], Ran] = {}

    @property
    def control(self) -> psycopg.Connection[Any]:
        """Second connection, in autocommit; holds the runner's advisory lock.

        Raises ExecutionError while another runner is in the database.
        """
        if self._control is None or self._control.closed:
            control = self.cluster.connect(self.name, options=self._quiet)
            ledger = Ledger(control)
            try:
                ledger.open(self.name, create=self._create_ledger, patience=self._patience)
            except BaseException:
                control.close()
                raise
            # The driver gives up all prepared statements after an ALTER or DROP, those of our line included.
            control.prepare_threshold = None
            self._control, self._ledger, self._line = control, ledger, Line(control)
            self._create_ledger = False
        return self._control

    @property
    def session(self) -> psycopg.Connection[Any]:
        """The migration's own connection, with lock_timeout and statement_timeout set for it."""
        if self._discarding:
            self._discarded()
        if self._session is None or self._session.closed:
            self._session = self.cluster.connect(self.name, options=self._options)
            # Notices are the user's; nothing of ours waits for them.
            self._session.prepare_threshold = None
        return self._session

    @property
    def reader(self) -> StateReader:
        """Reads states of this database."""
        if self._reader is None:
            self._reader = StateReader(self.cluster, self.name, exclude_schemas=OUR_SCHEMAS)
        return self._reader

    def state(self) -> State:
        """The state now, or right after the last step that ``reads``."""
        return self.reader.read(self._ran)

    def run(
        self,
        name: str,
        migration: Migration,
        direction: Direction,
        *,
        watched: bool,
        made: Collection[str] = (),
        goes_on: bool = False,
        at_rest: Callable[[], None] | None = None,
        reads: bool = False,
        meanwhile: Callable[[], None] | None = None,
    ) -> Step:
        """Run one direction of a migration, note it for the ledger, and give a session up that it left dirty.

        ``made``: tables that count as new when watched, in a down those that the up made. ``goes_on``: the script is not
        over, and what follows needs what it set in its session and its temporary tables. ``at_rest``: called wherever
        everything that ran has been committed, but for commits inside a statement. ``reads``: ``state`` is called next.
        ``meanwhile``: called once, as soon as the script is on its way.
        """
        script = migration.up if direction is Direction.UP else migration.down
        if script is None:
            raise ExecutionError(f"{migration.key} has no {direction.value}")
        control, session = self.control, self.session
        if self._runner is None or self._runner.session is not session or self._runner.control is not control:
            line, oracle = (self._line, self._wal()) if self._watch.locks else (None, None)
            self._runner = Runner(
                session,
                control,
                self.probes,
                line,
                gated=self._gated,
                oracle=oracle,
                blocking=self._blocking if self._watch.blocking else None,
                pace=self._pace,
            )
        self._runner.at_rest = at_rest
        self._ran = self._hint(name, script)
        follower = _Follower(self.reader, self._ran if reads else None, meanwhile)
        step = self._runner.run(name, direction, script, watched=watched, made=made, follower=follower)
        if self._ledger is not None:
            self._ledger.note(migration, step)
        # A transaction left open has been rolled back: what follows cannot stand in its place.
        if session.closed or any(not goes_on or leak.name == "transaction" for leak in step.leaks):
            self._drop_session()
        return step

    def _hint(self, name: str, script: Script) -> Ran:
        """What the reader may expect of a step."""
        hint = self._hints.get((name, script.file))
        if hint is None:
            kinds = frozenset(statement.kind for chunk in script.chunks for statement in chunk.statements)
            words = frozenset(word for chunk in script.chunks for word in _WORD.findall(chunk.text[:_ENOUGH]))
            hint = self._hints[name, script.file] = Ran((name, kinds), words)
        return hint

    def hurry(self) -> None:
        """Do not wait for the replica before chunks: a drill holds its replay back on purpose."""
        self._pace = None
        self._runner = None

    def _further(self) -> psycopg.Connection[Any]:
        """One more connection, on which the application's statements are tried; nothing it does is counted."""
        return self.cluster.connect(self.name, options=self._quiet)

    def _wal(self) -> WalOracle | None:
        if not self._acquired:
            self._acquired = True
            self._oracle = oracles.acquire(self.cluster)
        return self._oracle

    def next_migration(self) -> None:
        """Whatever the scripts of one migration left in the session unseen must not reach the next one's."""
        if self._session is not None and not self._session.closed:
            # https://www.postgresql.org/docs/current/sql-discard.html
            # Only sent: the server does it while the next steps are prepared here.
            self._session.pgconn.send_query(b"DISCARD ALL")
            self._discarding = True
        if self._ledger is not None and self._ledger.noted >= LEDGER_BATCH:
            self.write_ledger()

    def _discarded(self) -> None:
        """Take in the answer to DISCARD ALL; a session that refused it, or is lost, is given up."""
        self._discarding = False
        if self._session is not None and not self._session.closed:
            answer = receive(self._session)
            if answer.failed:
                self._drop_session()

    def _drop_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def write_ledger(self) -> None:
        """Write what ran since the last time into the ledger, in one statement."""
        if self._ledger is not None and self._control is not None and not self._control.closed:
            self._ledger.write()

    def pause(self) -> None:
        """Close every connection, so that the database can be cloned; what the reader knows is kept."""
        if self._reader is not None:
            self._reader.pause()
        self.write_ledger()
        self._blocking.close()
        if self._pace is not None:
            self._pace.close()
        for connection in (self._session, self._control):
            if connection is not None:
                connection.close()
        self._session = self._control = self._ledger = self._runner = self._line = None
        self._discarding = False

    def release(self) -> None:
        """Close everything for good; the database is about to be dropped."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self.pause()
        if self._acquired:
            oracles.release(self.cluster)
            self._acquired, self._oracle = False, None
