"""A process that cleans up when we die without a chance to: it acts when the pipe on its standard input closes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A shell waits more cheaply than a Python does. Its own session keeps Ctrl-C away, the trap everything polite.
_SCRIPT = 'trap "" HUP INT TERM; IFS= read -r word; [ "$word" = done ] || exec "$@"'


class Watchdog:
    """Runs ``python ARGUMENTS`` once this process is gone, however it ended; ``dismiss`` calls it off."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        reading, self._writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "pgmigrate-watchdog", sys.executable, *arguments],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={**os.environ, **(environment or {})},
            )
        except OSError:
            os.close(self._writing)
            raise
        finally:
            os.close(reading)

    def dismiss(self) -> None:
        """Tell it that everything is cleaned up. Never raises."""
        if self._writing < 0:
            return
        with contextlib.suppress(OSError):
            os.write(self._writing, b"done\n")
        os.close(self._writing)
        self._writing = -1
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)


def module_environment() -> dict[str, str]:
    """An environment in which ``python -m`` finds what this process finds (pytest may have extended sys.path)."""
    return {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
