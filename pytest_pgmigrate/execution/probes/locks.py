"""The locks of statements inside a transaction, read after each of them and before COMMIT."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.probes._base import Probe
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.watch import Lock

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.execution.look import Look
    from pytest_pgmigrate.model.migration import Script


class LocksProbe(Probe):
    """Says which locks each statement took and which it ran under, and since which statement."""

    name = "locks"

    def begin(self, session: psycopg.Connection[Any], control: psycopg.Connection[Any], script: Script) -> None:
        """Nothing is held between steps."""
        self._transaction = -1
        self._since: dict[int, tuple[Mode, int]] = {}

    def after_statement(self, look: Look) -> Mapping[str, object]:
        """``taken`` and ``held``; locks are only ever given back at the end of a transaction."""
        if look.transaction != self._transaction:
            self._transaction, self._since = look.transaction, {}
        if look.alone:
            return {}
        taken = []
        for oid, mode in look.locks.items():
            before = self._since.get(oid)
            if before is None or mode > before[0]:
                self._since[oid] = (mode, look.index)
                taken.append(oid)
        if look.locks:
            # Given back before the end: a savepoint was rolled back.
            self._since = {oid: since for oid, since in self._since.items() if oid in look.locks}
        return {"taken": _locks(look, taken, self._since), "held": _locks(look, self._since, self._since)}


def _locks(look: Look, oids: Iterable[int], since: Mapping[int, tuple[Mode, int]]) -> tuple[Lock, ...]:
    found = []
    for oid in oids:
        relation = look.relations.get(oid)
        if relation is not None and not relation.new:
            found.append(Lock(relation, *since[oid]))
    return tuple(sorted(found, key=lambda lock: (-lock.mode, lock.relation.name)))


PROBE = LocksProbe
