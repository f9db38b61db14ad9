"""Drills: deliberate faults and other company, each in clones of the base. A new drill is a new file here.

A module holds ``PART`` (the examination part whose checks read what it saw: it runs only when that part is judged) and
``run(context)``, which returns its evidence, a frozen object of a type of its own in ``model``, or None when there is
nothing to try. ``MigrationEvidence.drilled`` finds it again by that type.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_pgmigrate.model.finding import Part

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.volatile import Notes
    from pytest_pgmigrate.execution.workspace import Workspace
    from pytest_pgmigrate.model.cluster import Cluster, Seeder
    from pytest_pgmigrate.model.evidence import Step
    from pytest_pgmigrate.model.migration import History, Migration
    from pytest_pgmigrate.model.state import Difference, State
    from pytest_pgmigrate.options import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """What a drill is given: lane A has passed, the base holds version n-1 with rows, ``work`` stands at version n.

    ``clone`` gives a database at version n-1 to spend; ``before`` and ``after`` are the states of lane A, ``changed``
    their difference, ``up`` and ``down`` its watched steps (``down`` None where there is none, or it was not run).
    """

    cluster: Cluster
    space: Workspace
    settings: Settings
    seeder: Seeder
    history: History
    migration: Migration
    work: Database
    before: State
    after: State
    changed: Difference
    up: Step
    down: Step | None
    notes: Notes
    """What the first up wrote, to tell clocks and keys from real differences (``volatile.explain``)."""


def run_drills(context: Context, parts: Collection[Part]) -> tuple[object, ...]:
    """The evidence of every drill whose part is judged, in the order of the modules' names."""
    found = []
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        if module.PART in parts:
            seen = module.run(context)
            if seen is not None:
                found.append(seen)
    return tuple(found)
