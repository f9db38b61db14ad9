"""The shape of a probe: something that watches one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.execution.look import Look
    from pytest_pgmigrate.model.migration import Script


class Probe:
    """Watches one step at a time. A module of this package with a ``PROBE`` factory is a probe; no other registration.

    The methods are called in this order: ``begin`` before the first statement; of a watched step ``at_stop`` at each
    internal commit of a statement that commits by itself, and ``after_statement`` after each statement, its transaction
    still open where the tool's rule keeps it open; ``end`` when the script is through.
    """

    name = ""

    def begin(self, session: psycopg.Connection[Any], control: psycopg.Connection[Any], script: Script) -> None:
        """Remember what there was. ``session`` is the migration's own connection, ``control`` a second one to the
        same database, in autocommit, on which reading never waits for the migration.
        """

    def at_stop(self, look: Look) -> None:
        """The session stands still at an internal commit, with the locks of ``look``."""

    def after_statement(self, look: Look) -> Mapping[str, object]:
        """What this probe says of the statement: values by the field names of ``StatementSeen``.

        Tuples of several probes are joined; a name that is no field goes to ``StatementSeen.more``.
        """
        return {}

    def end(self) -> object:
        """What was seen of the step as a whole; goes to ``Step.seen[name]``."""
        return None
