"""The examination of one history, migration by migration, each from its true state: lane A in the work database, then
everything that is tried in clones of its base.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg

from pytest_pgmigrate.errors import ExecutionError, ReplicaTimeout
from pytest_pgmigrate.execution import (
    dependence,
    edge,
    fitting,
    later,
    scale,
    seed_hooks,
    server_wide,
    showing,
    steadiness,
)
from pytest_pgmigrate.execution.database import OUR_SCHEMAS, WATCH, Watch
from pytest_pgmigrate.execution.drills import Context, run_drills
from pytest_pgmigrate.execution.lane_a import Bench, LaneA
from pytest_pgmigrate.execution.new_columns import columns_to_fill, columns_to_leave
from pytest_pgmigrate.execution.predecessors import Resumed, Settled
from pytest_pgmigrate.execution.trial import Trials
from pytest_pgmigrate.execution.unlogged import unlogged_tables
from pytest_pgmigrate.execution.workspace import Workspace
from pytest_pgmigrate.model.evidence import (
    EdgeEvidence,
    LaterRows,
    MigrationEvidence,
    ReplicaEvidence,
    Step,
)
from pytest_pgmigrate.model.finding import Part
from pytest_pgmigrate.model.ignoring import Ignoring
from pytest_pgmigrate.model.migration import Direction

if TYPE_CHECKING:
    from pytest_pgmigrate.model.cluster import Cluster, Seeder, SeedReport
    from pytest_pgmigrate.model.evidence import ServerError, Unsteady
    from pytest_pgmigrate.model.migration import History, Migration
    from pytest_pgmigrate.model.state import State
    from pytest_pgmigrate.model.watch import Scaled
    from pytest_pgmigrate.options import Settings

REPLICA_TIMEOUT = 30.0


class Examination:
    """Walks one history on one cluster. Ask for migrations in history order; ``close`` when done.

    ``seeder`` None turns seeding, lane B and drills off, ``watch`` says how statements are looked at, ``parts`` are
    those that checks will judge: no drill runs for the others. ``resumed`` is what an earlier run kept.
    """

    def __init__(
        self,
        cluster: Cluster,
        history: History,
        settings: Settings,
        seeder: Seeder | None,
        watch: Watch = WATCH,
        parts: Collection[Part] = tuple(Part),
        resumed: Resumed | None = None,
    ) -> None:
        self.cluster = cluster
        self.parts = parts
        self.history = history
        self.settings = settings
        self.seeder = seeder
        self.space = Workspace(cluster, settings, watch, resumed)
        self.shared = server_wide.ServerWide(cluster)
        self.broken = dependence.Broken()
        self.seed_seconds = 0.0
        self._examined_last = False
        self._empty: set[str] | None = None
        self._settled = resumed is not None
        self._reports = {report.table: report for report in resumed.state.reports} if resumed is not None else {}
        self._new_columns: list[tuple[str, str]] = []
        self.ignoring = Ignoring.parse(settings.ignore_data)
        self.bench = Bench(cluster, self.space, self.shared, self.broken, self.ignoring)

    def close(self) -> None:
        """Drop the databases of this history and put back what all databases share."""
        self.space.close()
        self.shared.close()

    # -- one migration ----------------------------------------------------------------------------------------------

    def apply(self, migration: Migration) -> MigrationEvidence:
        """Apply a migration that is not judged, exactly as the tool would."""
        with _lost_connection(migration):
            return self._refuse(migration) or self._apply(migration)

    def settle(self, migration: Migration) -> Settled | None:
        """Fill the tables as ``examine`` of this migration would, which then need not, and close all connections.

        None when the migration will not be run.
        """
        with _lost_connection(migration):
            if not migration.sendable or self.shared.refuses(migration):
                return None
            self._seed()
            self.space.work.pause()
        self._settled = True
        return Settled(tuple(self._reports.values()))

    def _apply(self, migration: Migration) -> MigrationEvidence:
        self._examined_last = self._settled = False
        step = self.space.work.run("up", migration, Direction.UP, watched=False)
        if step.error is None:
            self.space.applied.append(migration)
            if seed_hooks.reached(self.seeder, self.space.applied):
                self._seed()
            return MigrationEvidence(migration, "applied", up=step)
        self.space.rebuild()
        return self._failure(migration, step)

    def examine(self, migration: Migration) -> MigrationEvidence:
        """Take one migration up, down, up and up again, and its later rows through lane B."""
        clock = time.perf_counter()
        with _lost_connection(migration):
            evidence = self._refuse(migration) or self._examine(migration)
        return replace(
            evidence, seeded=self._unfilled_now(), engine=self.cluster.engine, seconds=time.perf_counter() - clock
        )

    def _examine(self, migration: Migration) -> MigrationEvidence:
        self._seed()
        lane = LaneA(self.bench, migration, self._before())
        self._examined_last = True
        self.shared.begin(migration, lane.before.roles)
        assumed = None
        if not lane.first_up():
            assumed = self._fit(migration, lane)
            if assumed is None or not lane.first_up():
                return self._unpassed(migration, lane)
        lane.rest()
        return self._finish(migration, lane, assumed)

    def _unpassed(self, migration: Migration, lane: LaneA) -> MigrationEvidence:
        assert lane.up is not None
        if lane.up.error is not None:
            return self._failure(migration, lane.up)
        # Never committed, so nothing of it can be examined; later migrations miss what it would have made.
        self.broken.add(migration)
        return MigrationEvidence(migration, "failed", "the up leaves its transaction open", up=lane.up)

    def _fit(self, migration: Migration, lane: LaneA) -> ServerError | None:
        """After an up that rows made fail: its error, when the base now holds rows that fit version n too and let it pass."""
        filled = [report.table for report in self._reports.values() if report.filled]
        error = lane.up.error if lane.up is not None else None
        if self.seeder is None or self.space.base is None or not filled or not fitting.about_rows(error):
            return None
        with self._seeding():
            reports = fitting.refill(self.space, migration, self.seeder, filled)
        if reports is None:
            return None
        self._reports.update((report.table, report) for report in reports)
        lane.before = self.space.rebuild().state()
        return error

    def _refuse(self, migration: Migration) -> MigrationEvidence | None:
        """Evidence for a migration that is not run at all."""
        if not migration.sendable:
            self.broken.add(migration)
            return MigrationEvidence(migration, "failed", "no tool could send this file as it is")
        needs = self.shared.refuses(migration)
        if needs:
            self.broken.add(migration)
            return MigrationEvidence(migration, "not-judged", needs)
        return None

    def _failure(self, migration: Migration, step: Step) -> MigrationEvidence:
        """The up failed: for want of what a failed migration would have made, or by its own fault."""
        needs = self.broken.cause(step.error)
        self.broken.add(migration)
        if needs:
            return MigrationEvidence(migration, "skipped", needs, up=step)
        return MigrationEvidence(
            migration,
            "failed",
            up=step,
            missing_extension=dependence.missing_extension(step.error, self.cluster.extensions()),
        )

    def unfilled(self) -> tuple[SeedReport, ...]:
        """Tables that got fewer rows than asked for."""
        return tuple(
            report
            for report in self._reports.values()
            if report.status in ("partial", "empty", "trigger-bypassed", "skipped")
        )

    def _unfilled_now(self) -> tuple[SeedReport, ...]:
        """The same, without tables that were empty once and have rows by now, or are gone."""
        found = self.unfilled()
        if self._empty is None:
            return found
        return tuple(r for r in found if r.status not in ("empty", "skipped") or r.table in self._empty)

    def seed_notes(self) -> tuple[str, ...]:
        """What the user should know of scripts and names given for seeding."""
        return seed_hooks.notes(self.seeder, self.space.work)

    def _seed(self) -> None:
        """Rows for new tables, values for new columns: what the release before this migration has written by now."""
        settled, self._settled = self._settled, False
        if self.seeder is None or settled:
            return
        with self._seeding():
            control = self.space.work.control
            seed_hooks.reached(self.seeder, self.space.applied)
            applied = self.space.applied
            coming = self.history.migrations[applied[-1].index + 1 :] if applied else ()
            leave = columns_to_leave(applied, coming)
            reports = list(self.seeder.fill(control, exclude_schemas=OUR_SCHEMAS, leave=leave))
            if self._new_columns:
                self.seeder.fill_columns(control, exclude_schemas=OUR_SCHEMAS, columns=self._new_columns)
                self._new_columns = []
            self._reports.update((report.table, report) for report in reports)
            # Whatever is empty is reported each time.
            self._empty = {report.table for report in reports if not report.filled}

    @contextmanager
    def _seeding(self) -> Iterator[None]:
        clock = time.perf_counter()
        yield
        self.seed_seconds += time.perf_counter() - clock

    def _before(self) -> State:
        work = self.space.work
        if self.seeder is None:
            # After an examination the last read still holds; after a migration that was only applied it does not.
            last = work.reader.last if self._examined_last else None
            return last or work.state()
        before = work.state()
        self.space.take_base()
        return before

    # -- after lane A -----------------------------------------------------------------------------------------------

    def _finish(self, migration: Migration, lane: LaneA, assumed: ServerError | None) -> MigrationEvidence:
        replica = replace(self._replica(), unlogged=unlogged_tables(lane.before, lane.after, lane.changed))
        scaled = self._scale(migration, lane)
        edges, unsteady = self._other_rows(migration, lane, assumed)
        drills = self._drills(migration, lane)
        later_rows = self._lane_b(migration, lane)
        self.shared.commit()
        self.space.work.next_migration()
        self.space.drop_base()
        self.space.applied.append(migration)
        if self.seeder is not None:
            self._new_columns += columns_to_fill(lane.changed, lane.after, self.history.migrations[migration.index :])
        return MigrationEvidence(
            migration,
            "examined",
            up=lane.up,
            rows_before={name: table.count for name, table in lane.before.tables.items()},
            changed=lane.changed,
            down=lane.down,
            again=lane.again,
            rerun=lane.rerun,
            scaled=scaled,
            edge=edges,
            unsteady=unsteady,
            drills=drills,
            later=later_rows,
            replica=replica,
        )

    def _replica(self) -> ReplicaEvidence:
        if self.cluster.replica is None:
            return ReplicaEvidence(reason="no replica was given")
        try:
            difference = self.space.work.reader.try_replica()
            if difference is not None:
                difference = showing.on_replica(self.cluster, self.space.work.control, difference)
                return ReplicaEvidence(True, True, 0.0, difference)
            seconds = self.cluster.wait_for_replica(self.space.work.reader.position, REPLICA_TIMEOUT)
            difference = self.space.work.reader.compare_replica()
        except ReplicaTimeout as error:
            return ReplicaEvidence(ran=True, seconds=REPLICA_TIMEOUT, reason=str(error))
        difference = showing.on_replica(self.cluster, self.space.work.control, difference)
        return ReplicaEvidence(True, True, seconds, difference)

    def _scale(self, migration: Migration, lane: LaneA) -> tuple[Scaled, ...]:
        if not self.settings.scale or self.seeder is None or lane.up is None or not lane.up.watched:
            return ()
        self.shared.park()
        database = self.space.clone_base()
        try:
            return scale.measure(database, migration, self.seeder, self.settings.rows, lane.up)
        finally:
            self.space.spend(database)
            self.shared.unpark()

    def _other_rows(
        self, migration: Migration, lane: LaneA, assumed: ServerError | None
    ) -> tuple[EdgeEvidence, tuple[Unsteady, ...]]:
        """The migration on edge rows, and its up on rows in another order; nothing of it stays."""
        if self.seeder is None or self.space.base is None or self.settings.no_edge_rows:
            return EdgeEvidence(assumptions=edge.fitted(assumed), reason="edge rows are turned off"), ()
        self.shared.park()
        trials = Trials(self.space, migration)
        try:
            read = edge.tables_of((lane.up,))
            unsteady = steadiness.examine(trials, migration, read, lane.notes, self.space.work.control)
            seen = edge.Seen(
                lane.up,
                lane.down,
                lane.before,
                lane.after,
                lane.changed,
                self.ignoring,
                self.space.work.control,
            )
            return edge.examine(trials, migration, self.seeder, seen, assumed), unsteady
        finally:
            trials.close()
            self.shared.unpark()

    def _drills(self, migration: Migration, lane: LaneA) -> tuple[object, ...]:
        if self.seeder is None or self.space.base is None or self.settings.no_drills:
            return ()
        assert lane.up is not None
        self.shared.park()
        try:
            context = Context(
                cluster=self.cluster,
                space=self.space,
                settings=self.settings,
                seeder=self.seeder,
                history=self.history,
                migration=migration,
                work=self.space.work,
                before=lane.before,
                after=lane.after,
                changed=lane.changed,
                up=lane.up,
                down=lane.down,
                notes=lane.notes,
            )
            return run_drills(context, self.parts)
        finally:
            self.shared.unpark()

    def _lane_b(self, migration: Migration, lane: LaneA) -> LaterRows:
        if self.seeder is None or self.settings.later_rows == 0:
            return LaterRows(reason="writing rows after the up is turned off")
        if lane.down is None:
            return LaterRows(reason="there is no down to take later rows through")
        if lane.down.error is not None:
            return LaterRows(reason="the down fails already without later rows")
        self.shared.park()
        database = self.space.lend_base()
        seed_hooks.reached(self.seeder, [*self.space.applied, migration])
        try:
            room = bool(edge.relaxed_tables(lane.changed, lane.after))
            seen = later.examine(database, migration, self.seeder, self.settings.later_rows, room=room)
            lost, ignored = self.ignoring.split_lost(seen.lost)
            return replace(seen, lost=lost, ignored=ignored)
        finally:
            self.space.spend(database)
            self.shared.unpark()


@contextmanager
def _lost_connection(migration: Migration) -> Iterator[None]:
    """An error of a connection of ours is no verdict about the migration; it ends the examination in words."""
    try:
        yield
    except psycopg.Error as error:
        raise ExecutionError(f"{migration.up.file} could not be examined: {str(error).strip()}") from error
