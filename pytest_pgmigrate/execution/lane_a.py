"""Lane A: one migration up, down, up again and up once more in the work database, each step compared with the state it owes.

Whatever a faulty step left behind, the work database is made anew before the next one, so that one fault never shows up twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution import behind, showing, volatile
from pytest_pgmigrate.execution.kinds import undone_by_the_server
from pytest_pgmigrate.execution.states import Kept, compare, locate, without_views
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.model.state import Difference

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.dependence import Broken
    from pytest_pgmigrate.execution.server_wide import ServerWide
    from pytest_pgmigrate.execution.workspace import Workspace
    from pytest_pgmigrate.model.cluster import Cluster
    from pytest_pgmigrate.model.evidence import IgnoredData, Step
    from pytest_pgmigrate.model.ignoring import Ignoring
    from pytest_pgmigrate.model.migration import Migration
    from pytest_pgmigrate.model.state import State


@dataclass(frozen=True, slots=True)
class Bench:
    """What the lane works with, and all migrations of a history share."""

    cluster: Cluster
    space: Workspace
    shared: ServerWide
    broken: Broken
    ignoring: Ignoring
    behind: set[str] = field(default_factory=set)
    """Sequences told to be behind already, where no base tells what an earlier migration left."""


class LaneA:
    """One migration's lane: ``first_up``, and when it passed, ``rest``."""

    def __init__(self, bench: Bench, migration: Migration, before: State) -> None:
        self.bench = bench
        self.migration = migration
        self.before = before
        self.after = before
        self.changed = Difference()
        self.up: Step | None = None
        self.down: Step | None = None
        self.again: Step | None = None
        self.rerun: Step | None = None
        self.notes = volatile.Notes()
        self.kept: dict[str, Kept] = {}
        """Rows that the up left, of the tables it wrote."""

    @property
    def open(self) -> bool:
        """The up ended without an error and left its transaction open."""
        return self.up is not None and any(leak.name == "transaction" for leak in self.up.leaks)

    @property
    def _work(self) -> Database:
        return self.bench.space.work

    def first_up(self) -> bool:
        """Whether the up passes and commits; otherwise the work database is at n-1 again."""
        step = self._work.run("up", self.migration, Direction.UP, watched=True, reads=True)
        self.up, self.after = step, self._work.state()
        self.changed = without_views(compare(self.before, self.after), self.after)
        if step.error is None and not self.open:
            return True
        if step.error is not None:
            self.up = replace(step, difference=self._located(self.changed, self.before, self.after))
        if self.changed:
            self.bench.space.rebuild()
        self.bench.shared.restore()
        return False

    def rest(self) -> None:
        """Down, up again, up once more."""
        assert self.up is not None
        self.up = self._tripping(self.up, self.changed, self.before, self.after)
        self.notes = volatile.remember(self._work, self.up, self.changed, self.after)
        self.kept = showing.keep_rows(self._work.control, self.notes.tables)
        if self._down():
            self._again()
        self._rerun()

    def _down(self) -> bool:
        """Run the down and compare; returns whether an up may follow (the database is at n-1)."""
        if self.migration.down is None or not self.migration.down.sendable or self.migration.down.blank:
            return False
        work = self._work
        made = frozenset(change.key.name for change in self.changed.objects if change.change == "extra")
        self.down = work.run("down", self.migration, Direction.DOWN, watched=True, made=made, reads=True)
        now = work.state()
        difference = without_views(compare(self.before, now), now)
        if not difference and self.down.error is None:
            return True
        clocks = volatile.clock_columns(work, self.down, difference)
        self.down = self._tripping(self.down, difference, self.before, now)
        difference, ignored = self.bench.ignoring.split(self._located(difference, self.before, now))
        self.down = replace(self.down, difference=difference, explained=clocks, ignored=ignored)
        if ignored and not difference and self.down.error is None:
            return True
        if self.down.error is not None or not self._again_on_leftovers():
            self._to_after()
        return False

    def _again_on_leftovers(self) -> bool:
        """A second up over what the down left; True when it gives what the first up gave.

        What it makes of the leftovers otherwise belongs to the down's fault and is reported with it.
        """
        work = self._work
        self.again = work.run("up again", self.migration, Direction.UP, watched=False)
        difference = Difference()
        if self.again.error is None:
            now = work.state()
            difference = without_views(compare(self.after, now), now)
            difference, explained = volatile.explain(work, self.notes, self.again, difference)
            difference, ignored = self._split(difference)
            if not difference:
                self.again = replace(self.again, explained=explained, ignored=ignored)
                return True
        self.again = replace(self.again, name="up on leftovers", difference=difference)
        return False

    def _again(self) -> None:
        work = self._work
        self.again = work.run("up again", self.migration, Direction.UP, watched=False, reads=True)
        now = work.state()
        difference = without_views(compare(self.after, now), now)
        if not difference:
            if self.again.error is not None:
                self._to_after()
            return
        difference, explained = volatile.explain(work, self.notes, self.again, difference)
        difference, ignored = self._split(difference)
        self.again = replace(self.again, difference=difference, explained=explained, ignored=ignored)
        if difference or self.again.error is not None:
            self._to_after()

    def _rerun(self) -> None:
        work = self._work
        before = work.reader.last or work.state()
        again = self.again
        if again is not None and (again.explained or again.difference or again.error or again.ignored):
            self.kept = showing.keep_rows(work.control, self.kept)  # other clock values and ids by now
        # Most of the time nothing changes any more, and the replica has answered by then.
        ask = work.reader.ask_replica
        self.rerun = work.run("up without a down", self.migration, Direction.UP, watched=False, meanwhile=ask)
        if self.rerun.error is not None and undone_by_the_server(self.migration.up):
            return
        now = work.state()
        difference = without_views(compare(before, now), now)
        if difference:
            clocks = volatile.clock_columns(work, self.rerun, difference)
            difference, ignored = self._split(difference)
            self.rerun = replace(self.rerun, difference=difference, explained=clocks, ignored=ignored)
            self._to_after()

    def _to_after(self) -> None:
        """The work database as the first up left it."""
        work = self.bench.space.rebuild()
        # Only now: a role that the old database still used could not have been dropped.
        self.bench.shared.restore()
        if work.run("up", self.migration, Direction.UP, watched=False).error is not None:
            # It passed once; what the later migrations miss is this one's fault, not theirs.
            self.bench.broken.add(self.migration)

    def _tripping(self, step: Step, changed: Difference, before: State, after: State) -> Step:
        """The step with what it left that the application's next statement trips over."""
        work, base = self._work, self.bench.space.base
        connect = None if base is None else lambda: self.bench.cluster.connect(base)
        sequences = behind.behind(work.control, changed, after, connect)
        if base is None:
            # Nothing holds the rows of before; what an earlier migration left behind was said there.
            sequences = tuple(item for item in sequences if item.sequence not in self.bench.behind)
            self.bench.behind.update(item.sequence for item in sequences if step.direction is Direction.UP)
        return replace(step, behind=sequences, unpopulated=behind.unpopulated(changed, before, after))

    def _located(self, difference: Difference, old: State, new: State) -> Difference:
        """Fill in the differing rows, as far as a base still holds the old ones."""
        if not difference.tables or self.bench.space.base is None:
            return difference
        before = self.bench.cluster.connect(self.bench.space.base)
        try:
            work = self._work.control
            tables = tuple(
                locate(before, work, c, old, new, ignored=showing.of_table(self.bench.ignoring, c.table))
                for c in difference.tables
            )
        finally:
            before.close()
        # Without a key in common the digests only suspect; where no row differs there is nothing to tell.
        found = tuple(t for t in tables if t.rows or t.columns or t.old_count != t.new_count)
        return replace(difference, tables=found)

    def _split(self, difference: Difference) -> tuple[Difference, tuple[IgnoredData, ...]]:
        """What differs from the first up, with its rows, without what the user lets differ; and that."""
        return self.bench.ignoring.split(showing.shown(self._work.control, difference, self.kept, self.bench.ignoring))
