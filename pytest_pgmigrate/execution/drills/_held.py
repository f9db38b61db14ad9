"""Advisory locks that a session still holds after its script failed.

A lock of the session, unlike one of the transaction, outlives the error and the ROLLBACK; only the end of the session gives
it back (https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_pgmigrate.model.evidence import Step
    from pytest_pgmigrate.model.migration import Script

_OF_SESSION = re.compile(r"\bpg_(?:try_)?advisory_lock(?:_shared)?\b", re.IGNORECASE)


def may_hold(script: Script) -> bool:
    """Whether the text takes an advisory lock of the session."""
    return any(_OF_SESSION.search(chunk.text) for chunk in script.chunks)


def held(step: Step) -> bool:
    """Whether the step's session held an advisory lock at its end, when it was still there."""
    return any(leak.name == "advisory lock" for leak in step.leaks)
