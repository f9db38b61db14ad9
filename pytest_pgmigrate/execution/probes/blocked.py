"""What of the application was blocked: predicted from lock footprints, and tried while the session stood still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.probes._base import Probe

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.look import Look


class BlockedProbe(Probe):
    """Hands on what was tried at the moments the session stood still."""

    name = "blocked"

    def after_statement(self, look: Look) -> Mapping[str, object]:
        """``blocked``, each statement of the application once."""
        return {"blocked": tuple({(b.label, b.file, b.relation.name): b for b in look.blocked}.values())}


PROBE = BlockedProbe
