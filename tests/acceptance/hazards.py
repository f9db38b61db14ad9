"""The labelled corpus of hazards (fixtures/hazards/corpus.toml) and what a run over its histories says of each."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.histories import FIXTURES, Outcome, run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CORPUS = FIXTURES / "hazards" / "corpus.toml"


@dataclass(frozen=True)
class Hazard:
    """One entry of corpus.toml; folders as it writes them, from ``fixtures``, and ``""`` where there is none."""

    item: str
    what: str
    reason: str
    bad: str = ""
    good: str = ""
    expected: tuple[str, ...] = ()
    info: tuple[str, ...] = ()
    silent: str = ""
    needs: int = 0
    declared: bool = False


def corpus() -> tuple[Hazard, ...]:
    """All entries, in the order of the file."""
    document: dict[str, Any] = tomllib.loads(CORPUS.read_text(encoding="utf-8"))
    return tuple(_hazard(entry) for entry in document["hazard"])


def _hazard(entry: dict[str, Any]) -> Hazard:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return Hazard(**values)


def possible(hazards: Iterable[Hazard], major: int) -> list[Hazard]:
    """Those whose statements a server of this version knows."""
    return [hazard for hazard in hazards if hazard.needs <= major]


def name_of(folder: str) -> str:
    """A history's folder name in the examined project."""
    return folder.replace("/", "-")


def observe(project: Path, folders: list[str], *flags: str) -> Outcome:
    """One run over several histories of the corpus: locks alone, rows and old releases have tests of their own."""
    alone = ("--pgmigrate-no-edge-rows", "--pgmigrate-no-drills", "--pgmigrate-ignore=PMG5")
    return run(project, {name_of(folder): FIXTURES / folder for folder in folders}, *alone, *flags)


def codes(outcome: Outcome, folder: str, *severities: str) -> tuple[str, ...]:
    """The codes of one history's findings of these severities that no directive silenced, sorted."""
    found = Counter(
        finding["code"]
        for finding in outcome.document["findings"]
        if finding["file"].startswith(f"{name_of(folder)}/")
        and finding["severity"] in severities
        and not finding["ignored"]
    )
    return tuple(sorted(found.elements()))


def shown(outcome: Outcome, folder: str) -> str:
    """Errors and warnings of one history, for a failing test."""
    return f"{folder}\n" + "\n".join(
        f"{finding['file']}:{finding['line']}: {finding['code']} {finding['severity']} {finding['message']}"
        for finding in outcome.document["findings"]
        if finding["file"].startswith(f"{name_of(folder)}/")
        and finding["severity"] != "info"
        and not finding["ignored"]
    )
