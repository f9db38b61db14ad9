"""Watches one step: takes a look after every statement and has the probes say what it means."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from pytest_pgmigrate.execution import gate
from pytest_pgmigrate.execution.kinds import PARALLEL, SILENT, may_release, needs_gate, only_definitions, worth_trying
from pytest_pgmigrate.execution.look import NOTHING, Eyes, Known, Look, Numbers, new_relation, numbers_of, strongest
from pytest_pgmigrate.execution.send import Answer, send
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.migration import Script, Statement, TransactionRule
from pytest_pgmigrate.model.watch import Blocked, Relation, StatementSeen

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.blocking import Blocking
    from pytest_pgmigrate.execution.probes._base import Probe
    from pytest_pgmigrate.execution.states.line import Answer as Asked
    from pytest_pgmigrate.execution.states.line import Line
    from pytest_pgmigrate.execution.states.wal import WalOracle

_DATABASE = b"select oid::int8 from pg_database where datname = current_database()"
_FIELDS = frozenset(field.name for field in fields(StatementSeen))


class Watcher:
    """One step of one script on one session. ``line`` is the second connection.

    ``gated`` False where commits cannot be held (an external server), ``oracle`` None where WAL cannot be read; what could
    therefore not be seen is in ``notes``. ``made``: tables that count as new (those that the up made, in its down).
    ``blocking`` None: the application's statements are not tried. ``settings``: of the session, as far as they are known.
    """

    def __init__(
        self,
        session: psycopg.Connection[Any],
        line: Line,
        script: Script,
        probes: Sequence[Probe],
        *,
        gated: bool,
        oracle: WalOracle | None = None,
        made: Collection[str] = (),
        blocking: Blocking | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._session = session
        self._line = line
        self._oracle = oracle
        self._made = made
        self._named = {name for statement in script.statements for name in statement.relations}
        # What the up made is nobody's to wait for in its down.
        known = {name for name in self._named if name not in made and f"public.{name}" not in made}
        self._blocking = blocking if (known or not made) and worth_trying(script) else None
        self._tried: tuple[Mapping[int, Mode], tuple[Blocked, ...]] = ({}, ())
        self._at_stops: list[Blocked] = []
        self._script = script
        self._probes = probes
        self._gated = gated
        self._eyes = Eyes(session, line, made)
        self.seen: list[StatementSeen] = []
        self.notes: list[str] = []
        self._indexes = {id(statement): index for index, statement in enumerate(script.statements)}
        self._index = -1
        self._transaction = -1
        self._stale = False
        self._lsn = ""
        self._settings: Mapping[str, str] = {}
        self._counts: dict[int, Numbers] = {}
        self._files: dict[int, int] = {}
        self._tables: dict[int, str] = {}
        self._totals: dict[int, Numbers] | None = None
        self._database = 0
        self._stops: list[dict[int, Mode]] = []
        self._before: dict[int, Numbers] = {}
        self._asked: Asked | None = None
        self._begin(settings)

    @property
    def settings(self) -> Mapping[str, str] | None:
        """The session's settings now, where the script cannot have changed them."""
        return self._settings if self._settings and only_definitions(self._script) else None

    def _begin(self, settings: Mapping[str, str] | None) -> None:
        several = any(chunk.rule is TransactionRule.NONE for chunk in self._script.chunks)
        several = several or any(s.kind.startswith("TXN ") for s in self._script.statements)
        several = several or any(needs_gate(s) for s in self._script.statements)
        self._eyes.names.begin(everything=several)
        if self._blocking is not None:
            self._blocking.prepare(self._named)
        self._parallel = any(PARALLEL.search(chunk.text) for chunk in self._script.chunks)
        if settings is None:
            self._reread()
        else:
            self._settings, self._asked = settings, self._eyes.position()
        if self._parallel:
            self._totals = self._eyes.totals()

    # -- one statement ----------------------------------------------------------------------------------------------

    def transaction(self) -> None:
        """A transaction is about to begin: locks and counters start anew."""
        self._transaction += 1
        self._counts = self._eyes.pending()
        if self._transaction:
            self._reread()

    def before(self, statement: Statement) -> None:
        """A statement is about to be sent."""
        self._index = self._indexes[id(statement)]
        if self._session.info.transaction_status is TransactionStatus.IDLE:
            self.transaction()

    def _reread(self) -> None:
        begun = self._eyes.begin()
        if begun is not None:
            self._lsn, self._settings = begun
            self._stale = False

    def after(self, statement: Statement, seconds: float) -> None:
        """The statement went through and its transaction is still open."""
        open_block = self._session.info.transaction_status is TransactionStatus.INTRANS
        if statement.kind.startswith(SILENT) or not open_block:
            self._stale = True
            self._note(Look(statement, self._index, self._transaction, settings=self._settings), seconds)
            return
        looked = self._eyes.inside()
        if looked is None:
            self.notes.append(f"{statement.place}: the session refused to be asked about its locks")
            self._note(Look(statement, self._index, self._transaction, settings=self._settings), seconds)
            return
        lsn, settings, rows = looked
        self._know_start()
        if self._stale:
            # What a SET changed is known only now; no query may come between BEGIN and SET TRANSACTION.
            self._settings, self._stale = settings, False
        look = self._look(statement, lsn, rows)
        # What was tried meanwhile wrote WAL too.
        self._lsn, self._settings = self._position() if self._blocking is not None else lsn, settings
        self._note(look, seconds)

    def _look(self, statement: Statement, lsn: str, rows: list[list[str | None]]) -> Look:
        locks = strongest((int(row[0] or 0), Mode.of(row[1] or "")) for row in rows)
        relations = self._relations(locks, rows)
        files, counts = {}, {}
        # One row a lock; what is known of the relation is the same in each.
        for oid, row in {int(row[0] or 0): row for row in rows}.items():
            file = int(row[2] or 0)
            now = numbers_of(row[7:])
            files[oid] = (self._files.get(oid) or self._eyes.names.file(oid), file)
            counts[oid] = _minus(now, self._counts.get(oid, NOTHING))
            self._counts[oid] = now
            self._files[oid] = file
        if self._totals is not None:
            self._add_parallel(counts)
        filled = [oid for oid, numbers in counts.items() if numbers[1] and not relations[oid].new]
        return Look(
            statement,
            self._index,
            self._transaction,
            locks=locks,
            files=files,
            counts=counts,
            relations=Known(self._eyes, relations),
            settings=self._settings,
            start=self._lsn,
            end=lsn,
            exclusive=self._exclusive(lsn) if may_release(statement) else frozenset(),
            entered=self._eyes.names.indexes(filled) if filled else (),
            blocked=self._try(locks, relations),
        )

    def _try(self, locks: Mapping[int, Mode], relations: Mapping[int, Relation]) -> tuple[Blocked, ...]:
        """What of the application waits now; the same locks as at the last look block the same statements."""
        if self._blocking is None:
            return ()
        held = {oid: mode for oid, mode in locks.items() if (r := relations.get(oid)) is not None and not r.new}
        if held != self._tried[0]:
            found = self._blocking.at_hold(held, relations, try_them=True)
            self._tried = held, tuple(blocked for blocked in found if blocked.table not in self._made)
        return self._tried[1]

    def _exclusive(self, end: str) -> frozenset[int]:
        if self._oracle is None:
            self.notes.append("locks given back early could not be looked for: the server's WAL cannot be read")
            return frozenset()
        try:
            if not self._database:
                self._database = int(self._line.ask(_DATABASE).rows()[0][0])
            return self._oracle.exclusive(self._lsn, end, self._database)
        except psycopg.Error as error:
            self.notes.append(f"locks given back early could not be looked for: {error}".splitlines()[0])
            return frozenset()

    def _add_parallel(self, counts: dict[int, Numbers]) -> None:
        """Parallel workers hand their counters in when they end; the session itself does so when it is idle again."""
        totals = self._eyes.totals()
        before, self._totals = self._totals or {}, totals
        for oid, numbers in totals.items():
            more = _minus(numbers, before.get(oid, NOTHING))
            if any(more) and oid in counts:
                counts[oid] = _plus(counts[oid], more)

    def _relations(self, locks: Mapping[int, Mode], rows: list[list[str | None]]) -> dict[int, Relation]:
        names = self._eyes.names
        names.learn()
        found = {oid: relation for oid in locks if (relation := names.relation(oid)) is not None}
        self._tables.update((oid, relation.name) for oid, relation in found.items())
        self._tables.update((int(row[0] or 0), f"{row[5]}.{row[4]}") for row in rows if int(row[0] or 0) not in found)
        for row in rows:
            oid = int(row[0] or 0)
            if oid not in found:
                found[oid] = new_relation(row, self._tables)
        return found

    def _know_start(self) -> None:
        """Take in the WAL position that was asked for when the step began."""
        if self._asked is not None:
            self._lsn, self._asked = str(self._asked.rows()[0][0]), None

    def failed(self, statement: Statement, seconds: float) -> None:
        """The statement failed: its locks are gone already."""
        self._know_start()
        end = self._eyes.begin() if self._session.info.transaction_status is TransactionStatus.IDLE else None
        position = end[0] if end else self._position()
        look = Look(
            statement,
            self._index,
            self._transaction,
            failed=True,
            settings=self._settings,
            start=self._lsn,
            end=position,
            relations=Known(self._eyes),
            exclusive=self._exclusive(position),
        )
        self._lsn = position
        self._note(look, seconds)

    def _position(self) -> str:
        return str(self._line.ask(b"select pg_current_wal_insert_lsn()::text").rows()[0][0])

    # -- statements that commit by themselves -----------------------------------------------------------------------

    def alone(self, statement: Statement) -> Answer:
        """Send a statement that commits by itself, and hold it at each of its commits where that can be done."""
        self._know_start()
        self._stops, self._at_stops = [], []
        self._before = self._totals_flushed()
        reason = self._why_not_held()
        if reason:
            self.notes.append(f"{statement.place}: {reason}")
            return send(self._session, statement.text)
        hold = gate.Gate(self._session, self._line)
        answer = hold.run(statement.text, lambda: self._stop(statement))
        if hold.opened:
            self.notes.append(
                f"{statement.place}: it sets synchronous_commit itself, so that its commits could not all be held"
            )
        return answer

    def _why_not_held(self) -> str:
        if not self._gated:
            return "what it locks was not watched: commits cannot be held on this server"
        setting = self._settings.get("synchronous_commit")
        if setting != "local":
            return f"its internal commits were not watched: the migration sets synchronous_commit to {setting}"
        return ""

    def _stop(self, statement: Statement) -> None:
        locks = self._eyes.held()
        self._stops.append(locks)
        relations = Known(self._eyes)
        self._at_stops += self._try(locks, relations)
        for probe in self._probes:
            probe.at_stop(Look(statement, self._index, self._transaction, locks=locks, relations=relations))

    def after_alone(self, statement: Statement, seconds: float, *, failed: bool = False) -> None:
        """The statement that committed by itself is through."""
        begun = None if self._session.closed else self._eyes.begin()
        position, settings = begun or (self._position(), dict(self._settings))
        after = self._totals_flushed()
        counts = {oid: _minus(numbers, self._before.get(oid, NOTHING)) for oid, numbers in after.items()}
        locks = strongest(item for stop in self._stops for item in stop.items())
        look = Look(
            statement,
            self._index,
            self._transaction,
            failed=failed,
            locks=locks,
            stops=tuple(self._stops),
            files=self._files_now(),
            counts={oid: numbers for oid, numbers in counts.items() if any(numbers)},
            relations=Known(self._eyes),
            settings=self._settings,
            start=self._lsn,
            end=position,
            exclusive=self._exclusive(position),
            blocked=tuple(self._at_stops),
            named=self._eyes.resolve(statement.relations) if begun and statement.relations else (),
            alone=True,
        )
        self._lsn, self._settings = position, settings
        self._note(look, seconds)

    def _totals_flushed(self) -> dict[int, Numbers]:
        if self._session.info.server_version >= 150000:
            return self._eyes.totals()
        self.notes.append("rows that statements which commit by themselves read: PostgreSQL 14 counts them too late")
        return {}

    def _files_now(self) -> dict[int, tuple[int, int]]:
        now = self._eyes.names.files_now()
        before = {oid: self._files.get(oid) or self._eyes.names.file(oid) for oid in now}
        self._files.update(now)
        return {oid: (before[oid], file) for oid, file in now.items()}

    def finish(self) -> None:
        """Take in whatever was asked for and not looked at, so that others can use the connection."""
        self._know_start()
        self._line.take_in()

    def end(self) -> tuple[str, ...]:
        """What could not be watched."""
        tried = self._blocking.notes if self._blocking is not None else ()
        return tuple(dict.fromkeys((*self.notes, *tried)))

    # -- what the probes make of it ---------------------------------------------------------------------------------

    def _note(self, look: Look, seconds: float) -> None:
        known: dict[str, Any] = {}
        more: dict[str, object] = {}
        for probe in self._probes:
            for name, value in probe.after_statement(look).items():
                if name not in _FIELDS:
                    more[name] = value
                elif isinstance(value, tuple):
                    known[name] = known.get(name, ()) + value
                else:
                    known[name] = value
        statement = look.statement
        self.seen.append(
            StatementSeen(
                statement, look.index, look.transaction, seconds=seconds, failed=look.failed, more=more, **known
            )
        )


def _minus(a: Numbers, b: Numbers) -> Numbers:
    return (max(a[0] - b[0], 0), max(a[1] - b[1], 0), max(a[2] - b[2], 0), max(a[3] - b[3], 0))


def _plus(a: Numbers, b: Numbers) -> Numbers:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3])
