"""These tests start Python hundreds of times: modules are compiled for the first process, and read by the others."""

from __future__ import annotations

import os
import tempfile

import pytest

FORBIDDEN = "PYTHONDONTWRITEBYTECODE"
"""Set where nobody wants ``__pycache__`` beside the sources, as many container images do."""


def pytest_configure(config: pytest.Config) -> None:
    """Where that is forbidden, let the processes that we start keep bytecode in a folder that goes with this run.

    Without it pytest compiles and rewrites all modules of the plugin in each of them, which is half of a small run.
    """
    if not os.environ.get(FORBIDDEN):
        return
    patch, folder = pytest.MonkeyPatch(), tempfile.TemporaryDirectory(prefix="compiled-")
    patch.delenv(FORBIDDEN)
    patch.setenv("PYTHONPYCACHEPREFIX", folder.name)
    config.add_cleanup(folder.cleanup)
    config.add_cleanup(patch.undo)
