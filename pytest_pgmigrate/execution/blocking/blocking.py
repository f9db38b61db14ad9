"""The record of one database's application, and the question what of it waits now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.execution.blocking.cache import Cache
from pytest_pgmigrate.execution.blocking.predict import conflict_of
from pytest_pgmigrate.execution.blocking.prober import Prober
from pytest_pgmigrate.execution.blocking.trial import Trial
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.watch import Blocked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pytest_pgmigrate.execution.blocking.queries import AppQuery
    from pytest_pgmigrate.execution.blocking.record import Recorded
    from pytest_pgmigrate.execution.blocking.statements import AppStatement
    from pytest_pgmigrate.model.watch import Relation

# Weaker modes keep no statement of an application out; what such a migration keeps out are single rows.
_LOCKED = Mode.SHARE_UPDATE_EXCLUSIVE


class Blocking:
    """Watches one database through a connection of its own, which opens when first needed and again when lost."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], queries: Sequence[AppQuery] = ()) -> None:
        """``connect`` opens a further connection to the examined database, in autocommit, as a superuser."""
        self._prober = Prober(connect)
        self._cache = Cache(self._prober, queries)
        self._recorded: tuple[Recorded, ...] = ()
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be derived or tried since the last ``prepare``, in words."""
        return tuple(self._notes)

    @property
    def statements(self) -> tuple[AppStatement, ...]:
        """What is known to be done on the tables of the last ``prepare``."""
        return tuple(recorded.statement for recorded in self._recorded)

    def prepare(self, tables: Collection[str]) -> None:
        """Record what an application does on these tables, before a step; known and unchanged tables cost little.

        ``tables`` are names as written in SQL, unknown ones are ignored; tables joined to them by a foreign key, the
        tables partitioned into them and views over them are recorded too. Raises nothing for what the server says: what
        could not be recorded is in ``notes``.
        """
        self._notes.clear()
        self._recorded = ()
        try:
            self._prober.wake()
            self._recorded, notes = self._cache.get(tables)
        except psycopg.Error as error:
            self._prober.close()
            notes = (f"what the application does could not be recorded: {_reason(error)}",)
        self._notes.update(dict.fromkeys(notes))

    def at_hold(
        self, held: Mapping[int, Mode], names: Mapping[int, Relation], *, try_them: bool
    ) -> tuple[Blocked, ...]:
        """What waits while the migration's session stands still with these locks (strongest mode by relation OID).

        With ``try_them`` every statement that is predicted to wait is really run, undone, and so are those predicted
        free on relations that are locked. A statement that waited against the prediction is returned too.
        """
        locked = {oid: mode for oid, mode in held.items() if mode >= _LOCKED}
        if not locked:
            return ()
        self._note_unrecorded(locked, names)
        conflicts = {r: c for r in self._recorded if (c := conflict_of(r, locked, names)) is not None}
        trial = Trial({})
        if try_them:
            concerned = [r for r in self._recorded if r in conflicts or not locked.keys().isdisjoint(r.footprint.locks)]
            try:
                self._prober.wake()
                trial = Trial.of(self._prober, concerned, conflicts, locked)
            except psycopg.Error as error:
                self._prober.close()
                trial = Trial({}, (f"what is blocked was predicted, not tried: {_reason(error)}",))
        self._notes.update(dict.fromkeys(trial.notes))
        return tuple(
            Blocked(
                label=recorded.statement.label,
                table=recorded.statement.table,
                sql=recorded.statement.sql,
                relation=conflict.relation,
                wants=conflict.wants,
                held=conflict.held,
                tried=trial.tried(recorded),
                file=recorded.statement.file,
            )
            for recorded in self._recorded
            if (conflict := conflicts.get(recorded) or trial.unforeseen(recorded, locked, names)) is not None
        )

    def _note_unrecorded(self, locked: Mapping[int, Mode], names: Mapping[int, Relation]) -> None:
        """Locks that reach further than the tables the step was expected to touch."""
        known = {oid for recorded in self._recorded for oid in recorded.footprint.locks}
        for oid, mode in locked.items():
            relation = names.get(oid)
            if relation and relation.holds_rows and not relation.new and oid not in known and mode.blocks_writes:
                self._notes[f"{relation.name} was locked too; what the application does there was not recorded"] = None

    def close(self) -> None:
        """Close the connection, so that the database can be cloned or dropped; it opens again when needed."""
        self._prober.close()


def _reason(error: psycopg.Error) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
