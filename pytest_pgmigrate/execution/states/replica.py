"""Compares the replica with what was read on the primary, looking only at what was written since the last time.

A physical standby holds the same rows at the same places with the same ``xmin``, so that catalogs are compared by
place (https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION) and tables by digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_pgmigrate.execution.states.catalog import Catalog, Wrote
from pytest_pgmigrate.execution.states.compare import compare
from pytest_pgmigrate.execution.states.digests import LARGE_OBJECTS
from pytest_pgmigrate.execution.states.fetch import Fetcher
from pytest_pgmigrate.execution.states.line import Line
from pytest_pgmigrate.execution.states.settings import prepare_for_reading
from pytest_pgmigrate.execution.states.tables import read_tables
from pytest_pgmigrate.model.state import Difference, State

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.execution.states.line import Answer
    from pytest_pgmigrate.execution.states.mirror import Asked
    from pytest_pgmigrate.execution.states.tables import Tables
    from pytest_pgmigrate.model.cluster import Cluster


_REPLAYED = b"select coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false)::text"


@dataclass(frozen=True, slots=True)
class Pending:
    """Written since the replica was last compared. ``xmin`` None: never compared, everything is to be looked at."""

    xmin: str | None
    mirrored: Mapping[str, frozenset[int] | None] = field(default_factory=dict)
    grouped: frozenset[str] = frozenset()
    tables: frozenset[int] = frozenset()

    def joined(self, wrote: Wrote, tables: set[int]) -> Pending:
        """With what one more read found."""
        mirrored = dict(self.mirrored)
        for name, blocks in wrote.mirrored.items():
            known = mirrored.get(name, frozenset())
            mirrored[name] = None if blocks is None or known is None else known | blocks
        return Pending(self.xmin, mirrored, self.grouped | set(wrote.grouped), self.tables | tables)


class Question(NamedTuple):
    """What the replica was asked: how far it is, and the places in the blocks written (None: everything is compared)."""

    replayed: Answer | None
    places: Asked | None

    def in_time(self) -> bool:
        """Whether it had replayed the WAL when it answered. Raises psycopg.Error."""
        return self.replayed is None or self.replayed.texts() == ["true"]


class ReplicaCheck:
    """Keeps a connection to the same database on the replica."""

    def __init__(
        self,
        cluster: Cluster,
        database: str,
        exclude_schemas: tuple[str, ...],
        exclude_tables: tuple[str, ...],
        options: str,
    ) -> None:
        self._connection: psycopg.Connection[Any] = cluster.connect(database, replica=True, options=options)
        prepare_for_reading(self._connection)
        self._line = Line(self._connection)
        self._ahead: tuple[Pending, str, Question] | None = None
        self._excluded = (exclude_schemas, exclude_tables)
        self._fetcher = Fetcher(self._line, exclude_schemas, exclude_tables)

    def ask(self, catalog: Catalog, pending: Pending, position: str) -> None:
        """Send the question of ``compare`` ahead, so that the replica answers while the primary works.

        ``compare`` takes the answer in if it is asked for the same; what changes here meanwhile makes it another question.
        """
        if pending.xmin is None:
            return
        self._ahead = (pending, position, self._question(catalog, pending, position))
        self._line.send()

    def compare(
        self,
        state: State,
        catalog: Catalog,
        tables: Tables,
        pending: Pending,
        position: str | None,
    ) -> Difference | None:
        """What the replica has otherwise than the primary's last state; empty when it has the same.

        None: it has not replayed the WAL up to ``position`` yet.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] is pending and ahead[1] == position and ahead[2].in_time():
            question = ahead[2]
        else:
            question = self._question(catalog, pending, position)
            if not question.in_time():
                return None
        logged = {oid for oid, relation in catalog.relations.items() if not relation.unlogged}
        if question.places is None:
            return self._whole(state, logged, catalog)
        same = catalog.mirror.matches(question.places)
        groups = catalog.group_units(pending.grouped)
        if not same or (groups and not catalog.same_groups(self._fetcher, groups)):
            return self._whole(state, logged, catalog)
        if tables.differing(self._line.connection, pending.tables & logged):
            return self._whole(state, logged, catalog)
        return Difference()

    def _question(self, catalog: Catalog, pending: Pending, position: str | None) -> Question:
        # The position first, so that the places are at least as new.
        replayed = self._line.ask(_REPLAYED, position) if position is not None else None
        never = pending.xmin is None
        return Question(replayed, None if never else catalog.mirror.ask_places(self._line, pending.mirrored))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _whole(self, state: State, logged: set[int], catalog: Catalog) -> Difference:
        """Read everything on the replica and compare object by object, row digest by row digest."""
        mine = Catalog(self._line, *self._excluded)
        mine.read()
        digests, unreadable = read_tables(self._connection, mine)
        unlogged = {relation.name for oid, relation in catalog.relations.items() if oid not in logged}
        here = State(
            state.objects,
            {name: d for name, d in state.tables.items() if name not in unlogged and name != LARGE_OBJECTS},
            {},
        )
        return compare(here, State(mine.objects, digests, {}, unreadable=unreadable))
