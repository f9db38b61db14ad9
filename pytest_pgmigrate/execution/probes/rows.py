"""Rows read by full scans, inserted, updated and deleted, from the server's own counters.

https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-TABLES-VIEW
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.probes._base import Probe
from pytest_pgmigrate.model.watch import Counts

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.look import Look


class RowsProbe(Probe):
    """Says how many rows each statement read and wrote, by table."""

    name = "rows"

    def after_statement(self, look: Look) -> Mapping[str, object]:
        """``counts`` of every relation that holds rows and was read or written."""
        found = []
        for oid, numbers in look.counts.items():
            relation = look.relations.get(oid) if any(numbers) else None
            # Rows of an index are its entries; those of a TOAST table are pieces of rows.
            if relation is not None and relation.holds_rows:
                found.append(Counts(relation, *numbers))
        return {"counts": tuple(sorted(found, key=lambda count: count.relation.name))}


PROBE = RowsProbe
