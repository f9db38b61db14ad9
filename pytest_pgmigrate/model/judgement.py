"""What was made of one migration's evidence, for checks about the run itself."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Finding


@dataclass(frozen=True, slots=True)
class Judgement:
    """One migration's evidence with the findings of all other checks, ignored ones included."""

    evidence: MigrationEvidence
    findings: tuple[Finding, ...]
    all_selected: bool
    """False when select or ignore left checks out: an unused directive can then not be told from an unneeded one."""

    earlier: tuple[Finding, ...] = ()
    """Findings about the migrations before this one, of the same history, for what is said once."""
