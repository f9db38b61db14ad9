"""Which xdist worker gets which item: a history goes to one worker, which then starts the only servers for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xdist.scheduler import LoadGroupScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer


class HistoryScheduling(LoadGroupScheduling):  # type: ignore[misc]
    """``--dist loadgroup`` that knows our groups without being told in node ids.

    xdist hands groups over as a suffix of the node id, which gets lost with pytest 9.2: every worker would then start
    servers and run all predecessors (https://github.com/pytest-dev/pytest-xdist/issues/1386). Groups of other items
    are left to xdist.
    """

    def __init__(self, config: pytest.Config, log: Producer, groups: Mapping[str, str]) -> None:
        super().__init__(config, log)
        self._root = config.rootpath
        self._groups = groups
        """Absolute path of a file to the name of its group."""

    def _split_scope(self, nodeid: str) -> str:
        group = self._groups.get(str(self._root / nodeid.split("::", 1)[0]))
        return group or str(super()._split_scope(nodeid))
