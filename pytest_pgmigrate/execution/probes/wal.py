"""WAL bytes that a statement wrote; ``full_page_writes`` is off on our servers, so that they are the same every time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.probes._base import Probe
from pytest_pgmigrate.execution.states.wal import lsn_number

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.look import Look


class WalProbe(Probe):
    """Takes the difference of two WAL insert positions."""

    name = "wal"

    def after_statement(self, look: Look) -> Mapping[str, object]:
        """``wal_bytes``; the record of the COMMIT that follows is not in it."""
        if not look.start or not look.end:
            return {}
        return {"wal_bytes": max(lsn_number(look.end) - lsn_number(look.start), 0)}


PROBE = WalProbe
