"""Probes: what watches a step. A new probe is a new file here with a ``PROBE`` factory."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.probes._base import Probe


def make_probes() -> tuple[Probe, ...]:
    """A fresh set of all probes, by module name."""
    probes = []
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        if not info.name.startswith("_"):
            probes.append(importlib.import_module(f"{__name__}.{info.name}").PROBE())
    return tuple(probes)
