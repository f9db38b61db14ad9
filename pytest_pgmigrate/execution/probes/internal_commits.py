"""The locks of statements that commit by themselves, read while they were held at each internal commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.probes._base import Probe
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.watch import Lock

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.look import Look

_VACUUM = "VACUUM"


class InternalCommitsProbe(Probe):
    """Says which locks such a statement had, and at which of its commits it first had the strongest."""

    name = "internal_commits"

    def after_statement(self, look: Look) -> Mapping[str, object]:
        """``taken``, ``held`` and the number of ``stops``."""
        if not look.alone:
            return {}
        strongest: dict[int, tuple[Mode, int]] = {}
        for number, stop in enumerate(look.stops, start=1):
            for oid, mode in stop.items():
                if oid not in strongest or mode > strongest[oid][0]:
                    strongest[oid] = (mode, number)
        locks = []
        for oid, (mode, number) in strongest.items():
            relation = look.relations.get(oid)
            if relation is not None and not relation.new:
                locks.append(Lock(relation, mode, look.index, "internal commit", number))
        found = tuple(sorted(locks, key=lambda lock: (-lock.mode, lock.relation.name)))
        return {"taken": found, "held": found, "stops": len(look.stops)}


PROBE = InternalCommitsProbe
