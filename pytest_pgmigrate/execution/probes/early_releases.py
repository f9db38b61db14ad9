"""AccessExclusive locks that were taken and given back before anyone could look, from the WAL.

A granted AccessExclusive lock on a table is logged at once for the standbys (``Standby/LOCK``:
https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-CONFLICT), also when a savepoint, an exception block
or the whole statement is rolled back after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.probes._base import Probe
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.watch import Lock

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.look import Look


class EarlyReleasesProbe(Probe):
    """Says which tables were locked AccessExclusive by a statement that did not hold on to the lock."""

    name = "early_releases"

    def after_statement(self, look: Look) -> Mapping[str, object]:
        """``taken`` and ``held``, with the source ``wal``."""
        found = []
        for oid in sorted(look.exclusive):
            if look.locks.get(oid) is Mode.ACCESS_EXCLUSIVE:
                continue
            relation = look.relations.get(oid)
            if relation is not None and not relation.new:
                found.append(Lock(relation, Mode.ACCESS_EXCLUSIVE, look.index, "wal"))
        return {"taken": tuple(found), "held": tuple(found)}


PROBE = EarlyReleasesProbe
