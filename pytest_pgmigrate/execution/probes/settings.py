"""The session settings in force when each statement started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.probes._base import Probe

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.look import Look


class SettingsProbe(Probe):
    """As the session itself says, so that SET, SET LOCAL after a COMMIT, RESET and set_config() all count."""

    name = "settings"

    def after_statement(self, look: Look) -> Mapping[str, object]:
        """``settings`` by name, as ``SHOW`` prints them."""
        return {"settings": dict(look.settings)}


PROBE = SettingsProbe
