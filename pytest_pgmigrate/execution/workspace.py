"""The work database of a history and the base it can be rebuilt from.

The base is the database at version n-1. With fake rows it is a clone taken before each examination, because the rows
exist nowhere else; without rows it is had by running the earlier ups again, which costs nothing until it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.errors import ExecutionError
from pytest_pgmigrate.execution.database import WATCH, Database, Watch, session_options
from pytest_pgmigrate.model.migration import Direction

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.execution.predecessors import Resumed
    from pytest_pgmigrate.model.cluster import Cluster
    from pytest_pgmigrate.model.migration import Migration
    from pytest_pgmigrate.options import Settings


class Workspace:
    """Owns the databases of one history's run, which starts in an empty database or in one that an earlier run kept."""

    def __init__(
        self, cluster: Cluster, settings: Settings, watch: Watch = WATCH, resumed: Resumed | None = None
    ) -> None:
        self.cluster = cluster
        self.settings = settings
        self.watch = watch
        self.applied: list[Migration] = list(resumed.applied) if resumed is not None else []
        self.base: str | None = None
        name = resumed.database if resumed is not None else cluster.create_database("work")
        self.work = self._open(name, fresh=resumed is None)

    def _open(self, name: str, *, fresh: bool) -> Database:
        return Database(self.cluster, name, self.settings, fresh=fresh, watch=self.watch)

    def take_base(self) -> None:
        """Clone the work database; the clone is the state before the migration about to be examined."""
        self.drop_base()
        self.work.pause()
        self.base = self.cluster.create_database("base", template=self.work.name)

    def drop_base(self) -> None:
        """Forget the base."""
        if self.base is not None:
            self.cluster.drop_database(self.base)
            self.base = None

    def lend_base(self) -> Database:
        """The base as a database to spend: lane B runs in it. There is no way back to n-1 but replay after this."""
        if self.base is None:
            raise ExecutionError("no base was taken")
        name, self.base = self.base, None
        return self._open(name, fresh=False)

    def clone_base(self) -> Database:
        """A copy of the base, to spend."""
        if self.base is None:
            raise ExecutionError("no base was taken")
        return self._open(self.cluster.create_database("clone", template=self.base), fresh=False)

    def copy(self, database: Database) -> Database:
        """A copy of a database of ours that nobody is connected to, to spend."""
        return self._open(self.cluster.create_database("clone", template=database.name), fresh=False)

    def connect_base(self) -> psycopg.Connection[Any]:
        """A connection to the base itself, with the migration session's time-outs; whoever uses it leaves nothing."""
        if self.base is None:
            raise ExecutionError("no base was taken")
        return self.cluster.connect(self.base, options=session_options(self.settings))

    def replace_base(self, database: Database) -> None:
        """Take a database obtained from ``clone_base`` as the base, and forget the old one."""
        database.release()
        self.drop_base()
        self.base = database.name

    def spend(self, database: Database) -> None:
        """Drop a database obtained from ``lend_base`` or ``clone_base``."""
        database.release()
        self.cluster.drop_database(database.name)

    def rebuild(self) -> Database:
        """Make the work database anew at version n-1 and return it."""
        self.work.release()
        old = self.work.name
        if self.base is not None:
            self.work = self._open(self.cluster.create_database("work", template=self.base), fresh=False)
        else:
            self.work = self._open(self.cluster.create_database("work"), fresh=True)
            self._replay()
        self.cluster.drop_database(old)
        return self.work

    def _replay(self) -> None:
        for migration in self.applied:
            step = self.work.run("replay", migration, Direction.UP, watched=False)
            if step.error is not None:
                raise ExecutionError(
                    f"{migration.up.file} was applied before and fails now that the history is built again: "
                    f"{step.error.message}. Its result depends on something outside the database."
                )

    def close(self) -> None:
        """Drop everything."""
        self.work.release()
        self.cluster.drop_database(self.work.name)
        self.drop_base()
