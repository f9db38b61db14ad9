"""Advisory locks that a session still holds after its script failed.

A lock of the session, unlike one of the transaction, outlives the error and the ROLLBACK: ``pg_advisory_unlock``, DISCARD
ALL or the end of the session give it back (https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_pgmigrate.model.evidence import Step
    from pytest_pgmigrate.model.migration import Script, Statement

_OF_SESSION = re.compile(r"\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(", re.IGNORECASE)


def may_hold(script: Script) -> bool:
    """Whether the text takes an advisory lock of the session."""
    return any(_OF_SESSION.search(chunk.text) for chunk in script.chunks)


def held(step: Step, script: Script, failed: Statement) -> Statement | None:
    """The statement that took what the step's session held at its end, ``failed`` where no text says so; None: it held none."""
    if not any(leak.name == "advisory lock" for leak in step.leaks):
        return None
    return next((s for s in script.statements if _OF_SESSION.search(s.text)), failed)
