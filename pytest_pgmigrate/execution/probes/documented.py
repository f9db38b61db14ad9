"""Locks that nobody can see: those of VACUUM, whose transactions write nothing that a commit would wait for, and those of
INSERT on indexes, which it gives back when the statement ends.

https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES says which mode they take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.probes._base import Probe
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.watch import Lock

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.look import Look

_DOCUMENTED = {"VACUUM": Mode.SHARE_UPDATE_EXCLUSIVE, "ANALYZE": Mode.SHARE_UPDATE_EXCLUSIVE}


class DocumentedProbe(Probe):
    """Adds what the documentation says to what was seen, marked ``documented``."""

    name = "documented"

    def after_statement(self, look: Look) -> Mapping[str, object]:
        """``taken`` and ``held`` for the tables that the statement names."""
        wanted = dict.fromkeys(look.entered, Mode.ROW_EXCLUSIVE)
        mode = _DOCUMENTED.get(look.statement.kind)
        if mode is not None and look.alone and not look.failed:
            wanted |= dict.fromkeys(look.named, mode)
        found = tuple(
            Lock(relation, mode, look.index, "documented")
            for oid, mode in wanted.items()
            if look.locks.get(oid, 0) < mode and (relation := look.relations.get(oid)) is not None
        )
        return {"taken": found, "held": found}


PROBE = DocumentedProbe
