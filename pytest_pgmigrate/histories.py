"""What a run knows of one history while it goes through the rooms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_pgmigrate.checks._judge import Verdict
    from pytest_pgmigrate.execution.examination import Examination
    from pytest_pgmigrate.model.cluster import Seeder, SeedReport
    from pytest_pgmigrate.model.evidence import MigrationEvidence
    from pytest_pgmigrate.model.finding import Finding, Part
    from pytest_pgmigrate.model.migration import History
    from pytest_pgmigrate.seeding.hooks import Wanted


@dataclass(slots=True)
class HistoryRun:
    """One history on its way through the rooms."""

    history: History
    findings: tuple[Finding, ...]
    wanted: set[str] = field(default_factory=set)
    last_wanted: int = -1
    """Index of the last migration that is judged."""
    examination: Examination | None = None
    position: int = 0
    settled: bool = False
    """A migration was judged, so that what comes before the first one is behind it."""

    unfilled: tuple[SeedReport, ...] = ()
    wanted_rows: Wanted | None = None
    """What the user gave for seeding this history."""

    seeder: Seeder | None = None
    seed_notes: tuple[str, ...] = ()
    evidence: dict[str, MigrationEvidence] = field(default_factory=dict)
    judged: dict[str, tuple[Finding, ...]] = field(default_factory=dict)
    said: list[Finding] = field(default_factory=list)
    """Findings about the migrations judged so far, for what is said once a history."""

    verdicts: dict[tuple[str, Part], Verdict] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    """Migrations whose examination could not go on, and why."""
