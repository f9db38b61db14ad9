"""The old release on the new schema: during a rolling deploy both serve, and after a rollback the old one serves again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.compat.old_release import examine
from pytest_pgmigrate.model.finding import Part

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.drills import Context
    from pytest_pgmigrate.model.compat import CompatEvidence

PART = Part.COMPAT


def run(context: Context) -> CompatEvidence:
    """Try what the release before does; without anything changed there is nothing to try."""
    return examine(context)
