"""The shape of a probe: something that watches one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.model.migration import Script, Statement


class Probe(Protocol):
    """Watches one step at a time. A module of this package with a ``PROBE`` factory is a probe; no other registration.

    The methods are called in this order: ``begin`` before the first statement, ``after_statement`` after each one of
    a watched script (its transaction still open where the tool's rule keeps it open), ``end`` when the script is
    through. ``session`` is the migration's own connection, ``control`` a second one to the same database, in
    autocommit, on which reading never waits for the migration.
    """

    name: str

    def begin(self, session: psycopg.Connection[Any], control: psycopg.Connection[Any], script: Script) -> None:
        """Remember what there was."""

    def after_statement(self, statement: Statement) -> None:
        """Look once more."""

    def end(self) -> object:
        """What was seen; goes to ``Step.seen[name]``."""
