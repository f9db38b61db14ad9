"""The examination of one history, migration by migration: lane A in the work database, lane B in its clone.

Every migration is examined from its true state: whatever a faulty step left behind, the work database is made anew
before the next step, so that one fault never shows up twice.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import psycopg

from pytest_pgmigrate.errors import ExecutionError, ReplicaTimeout
from pytest_pgmigrate.execution import (
    behind,
    dependence,
    edge,
    fitting,
    later,
    scale,
    seed_hooks,
    server_wide,
    showing,
    steadiness,
    volatile,
)
from pytest_pgmigrate.execution.database import OUR_SCHEMAS, WATCH, Watch
from pytest_pgmigrate.execution.drills import Context, run_drills
from pytest_pgmigrate.execution.kinds import undone_by_the_server
from pytest_pgmigrate.execution.new_columns import columns_to_fill
from pytest_pgmigrate.execution.predecessors import Resumed, Settled
from pytest_pgmigrate.execution.states import Kept, compare, locate, without_views
from pytest_pgmigrate.execution.trial import Trials
from pytest_pgmigrate.execution.unlogged import unlogged_tables
from pytest_pgmigrate.execution.workspace import Workspace
from pytest_pgmigrate.model.evidence import (
    EdgeEvidence,
    IgnoredData,
    LaterRows,
    MigrationEvidence,
    ReplicaEvidence,
    Step,
)
from pytest_pgmigrate.model.finding import Part
from pytest_pgmigrate.model.ignoring import Ignoring
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.model.state import Difference

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.model.cluster import Cluster, Seeder, SeedReport
    from pytest_pgmigrate.model.evidence import ServerError, Unsteady
    from pytest_pgmigrate.model.migration import History, Migration
    from pytest_pgmigrate.model.state import State
    from pytest_pgmigrate.model.watch import Scaled
    from pytest_pgmigrate.options import Settings

REPLICA_TIMEOUT = 30.0


@dataclass(slots=True)
class _Lane:
    """What lane A has seen so far."""

    before: State
    after: State | None = None
    up: Step | None = None
    changed: Difference = field(default_factory=Difference)
    down: Step | None = None
    again: Step | None = None
    rerun: Step | None = None
    notes: volatile.Notes = field(default_factory=volatile.Notes)
    assumed: ServerError | None = None
    """How the up failed on the rows there were, before those of the base were made anew to fit version n too."""
    kept: dict[str, Kept] = field(default_factory=dict)
    """Rows that the up left, of the tables it wrote."""


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
        self._behind: set[str] = set()
        self.ignoring = Ignoring.parse(settings.ignore_data)

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
        lane = _Lane(self._before())
        self._examined_last = True
        self.shared.begin(migration, lane.before.roles)
        return self._lane_a(migration, lane) or self._finish(migration, lane)

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
            reports = list(self.seeder.fill(control, exclude_schemas=OUR_SCHEMAS))
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

    # -- lane A -----------------------------------------------------------------------------------------------------

    def _lane_a(self, migration: Migration, lane: _Lane) -> MigrationEvidence | None:
        """Up, down, up again, up once more. Returns evidence only when the first up failed."""
        work = self.space.work
        lane.up = work.run("up", migration, Direction.UP, watched=True)
        lane.after = work.state()
        lane.changed = without_views(compare(lane.before, lane.after), lane.after)
        if lane.up.error is not None:
            left = lane.changed
            if left:
                left = self._located(left, lane.before, lane.after)
                self._restore()
            self.shared.restore()
            if self._fit(migration, lane):
                return self._lane_a(migration, lane)
            return self._failure(migration, replace(lane.up, difference=left))
        if any(leak.name == "transaction" for leak in lane.up.leaks):
            # Never committed, so nothing of it can be examined; later migrations miss what it would have made.
            if lane.changed:
                self._restore()
            self.shared.restore()
            self.broken.add(migration)
            return MigrationEvidence(migration, "failed", "the up leaves its transaction open", up=lane.up)
        lane.up = self._tripping(lane.up, lane.changed, lane.before, lane.after)
        lane.notes = volatile.remember(work, lane.up, lane.changed, lane.after)
        lane.kept = showing.keep_rows(work.control, lane.notes.tables)
        if self._down(migration, lane, lane.notes):
            self._again(migration, lane, lane.notes)
        self._rerun(migration, lane)
        return None

    def _fit(self, migration: Migration, lane: _Lane) -> bool:
        """After an up that rows made fail: whether it passes on rows that fit version n too, which the base then holds."""
        assert lane.up is not None
        filled = [report.table for report in self._reports.values() if report.filled]
        tried = lane.assumed is not None or self.seeder is None or self.space.base is None
        if tried or not filled or not fitting.about_rows(lane.up.error):
            return False
        assert self.seeder is not None
        with self._seeding():
            reports = fitting.refill(self.space, migration, self.seeder, filled)
        if reports is None:
            return False
        self._reports.update((report.table, report) for report in reports)
        lane.assumed = lane.up.error
        lane.before = self._restore().state()
        return True

    def _down(self, migration: Migration, lane: _Lane, notes: volatile.Notes) -> bool:
        """Run the down and compare; returns whether an up may follow (the database is at n-1)."""
        if migration.down is None or not migration.down.sendable or migration.down.blank:
            return False
        work = self.space.work
        made = frozenset(change.key.name for change in lane.changed.objects if change.change == "extra")
        lane.down = work.run("down", migration, Direction.DOWN, watched=True, made=made)
        now = work.state()
        difference = without_views(compare(lane.before, now), now)
        if not difference and lane.down.error is None:
            return True
        clocks = volatile.clock_columns(work, lane.down, difference)
        lane.down = self._tripping(lane.down, difference, lane.before, now)
        difference, ignored = self.ignoring.split(self._located(difference, lane.before, now))
        lane.down = replace(lane.down, difference=difference, explained=clocks, ignored=ignored)
        if ignored and not difference and lane.down.error is None:
            return True
        if lane.down.error is not None or not self._again_on_leftovers(migration, lane, notes):
            self._to_after(migration)
        return False

    def _again_on_leftovers(self, migration: Migration, lane: _Lane, notes: volatile.Notes) -> bool:
        """A second up over what the down left; True when it gives what the first up gave.

        What it makes of the leftovers otherwise belongs to the down's fault and is reported with it.
        """
        work = self.space.work
        lane.again = work.run("up again", migration, Direction.UP, watched=False)
        difference = Difference()
        if lane.again.error is None and lane.after is not None:
            now = work.state()
            difference = without_views(compare(lane.after, now), now)
            difference, explained = volatile.explain(work, notes, lane.again, difference)
            difference, ignored = self._split(difference, lane)
            if not difference:
                lane.again = replace(lane.again, explained=explained, ignored=ignored)
                return True
        lane.again = replace(lane.again, name="up on leftovers", difference=difference)
        return False

    def _again(self, migration: Migration, lane: _Lane, notes: volatile.Notes) -> None:
        work = self.space.work
        lane.again = work.run("up again", migration, Direction.UP, watched=False)
        now = work.state()
        assert lane.after is not None
        difference = without_views(compare(lane.after, now), now)
        if not difference:
            if lane.again.error is not None:
                self._to_after(migration)
            return
        difference, explained = volatile.explain(work, notes, lane.again, difference)
        difference, ignored = self._split(difference, lane)
        lane.again = replace(lane.again, difference=difference, explained=explained, ignored=ignored)
        if difference or lane.again.error is not None:
            self._to_after(migration)

    def _rerun(self, migration: Migration, lane: _Lane) -> None:
        work = self.space.work
        before = work.reader.last or work.state()
        again = lane.again
        if again is not None and (again.explained or again.difference or again.error or again.ignored):
            lane.kept = showing.keep_rows(work.control, lane.kept)  # other clock values and ids by now
        # Most of the time nothing changes any more, and the replica has answered by then.
        work.reader.ask_replica()
        lane.rerun = work.run("up without a down", migration, Direction.UP, watched=False)
        if lane.rerun.error is not None and undone_by_the_server(migration.up):
            return
        now = work.state()
        difference = without_views(compare(before, now), now)
        if difference:
            clocks = volatile.clock_columns(work, lane.rerun, difference)
            difference, ignored = self._split(difference, lane)
            lane.rerun = replace(lane.rerun, difference=difference, explained=clocks, ignored=ignored)
            self._to_after(migration)

    def _restore(self) -> Database:
        """The work database at n-1 again; with rows it is the clone, without them the earlier ups run again."""
        return self.space.rebuild()

    def _to_after(self, migration: Migration) -> None:
        """The work database as the first up left it."""
        work = self._restore()
        # Only now: a role that the old database still used could not have been dropped.
        self.shared.restore()
        if work.run("up", migration, Direction.UP, watched=False).error is not None:
            # It passed once; what the later migrations miss is this one's fault, not theirs.
            self.broken.add(migration)

    def _tripping(self, step: Step, changed: Difference, before: State, after: State) -> Step:
        """The step with what it left that the application's next statement trips over."""
        work, base = self.space.work, self.space.base
        connect = None if base is None else lambda: self.cluster.connect(base)
        sequences = behind.behind(work.control, changed, after, connect)
        if base is None:
            # Nothing holds the rows of before; what an earlier migration left behind was said there.
            sequences = tuple(item for item in sequences if item.sequence not in self._behind)
            self._behind |= {item.sequence for item in sequences if step.direction is Direction.UP}
        return replace(step, behind=sequences, unpopulated=behind.unpopulated(before, after))

    def _located(self, difference: Difference, old: State, new: State) -> Difference:
        """Fill in the differing rows, as far as a base still holds the old ones."""
        if not difference.tables or self.space.base is None:
            return difference
        before = self.cluster.connect(self.space.base)
        try:
            work = self.space.work.control
            tables = tuple(
                locate(before, work, c, old, new, ignored=showing.of_table(self.ignoring, c.table))
                for c in difference.tables
            )
        finally:
            before.close()
        # Without a key in common the digests only suspect; where no row differs there is nothing to tell.
        found = tuple(t for t in tables if t.rows or t.columns or t.old_count != t.new_count)
        return replace(difference, tables=found)

    def _split(self, difference: Difference, lane: _Lane) -> tuple[Difference, tuple[IgnoredData, ...]]:
        """What differs from the first up, with its rows, without what the user lets differ; and that."""
        return self.ignoring.split(showing.shown(self.space.work.control, difference, lane.kept, self.ignoring))

    # -- after lane A -----------------------------------------------------------------------------------------------

    def _finish(self, migration: Migration, lane: _Lane) -> MigrationEvidence:
        replica = replace(self._replica(), unlogged=unlogged_tables(lane.before, lane.after, lane.changed))
        scaled = self._scale(migration, lane)
        edges, unsteady = self._other_rows(migration, lane)
        drills = self._drills(migration, lane)
        later_rows = self._lane_b(migration, lane)
        self.shared.commit()
        self.space.work.next_migration()
        self.space.drop_base()
        self.space.applied.append(migration)
        assert lane.after is not None
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

    def _scale(self, migration: Migration, lane: _Lane) -> tuple[Scaled, ...]:
        if not self.settings.scale or self.seeder is None or lane.up is None or not lane.up.watched:
            return ()
        self.shared.park()
        database = self.space.clone_base()
        try:
            return scale.measure(database, migration, self.seeder, self.settings.rows, lane.up)
        finally:
            self.space.spend(database)
            self.shared.unpark()

    def _other_rows(self, migration: Migration, lane: _Lane) -> tuple[EdgeEvidence, tuple[Unsteady, ...]]:
        """The migration on edge rows, and its up on rows in another order; nothing of it stays."""
        if self.seeder is None or self.space.base is None or self.settings.no_edge_rows:
            return EdgeEvidence(assumptions=edge.fitted(lane.assumed), reason="edge rows are turned off"), ()
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
            return edge.examine(trials, migration, self.seeder, seen, lane.assumed), unsteady
        finally:
            trials.close()
            self.shared.unpark()

    def _drills(self, migration: Migration, lane: _Lane) -> tuple[object, ...]:
        if self.seeder is None or self.space.base is None or self.settings.no_drills:
            return ()
        assert lane.up is not None
        assert lane.after is not None
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

    def _lane_b(self, migration: Migration, lane: _Lane) -> LaterRows:
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
