"""The corpus of hazards on real servers: every bad history gives exactly its findings, every good one none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pgmigrate.engines.embedded import ENGINE as EMBEDDED
from pytest_pgmigrate.engines.local import ENGINE as LOCAL
from pytest_pgmigrate.model.cluster import Engine, Want
from tests.acceptance.hazards import Hazard, codes, corpus, name_of, observe, possible, shown
from tests.acceptance.histories import FIXTURES, Outcome
from tests.fix_cluster import usable

HAZARDS = corpus()
ENGINES = [pytest.param(EMBEDDED, id="embedded"), pytest.param(LOCAL, id="local", marks=pytest.mark.slow)]

ITEMS = {
    *(f"I{n}" for n in range(1, 7)),
    *("C2", "C3", "C4", "C5", "C6", "C7", "C11", "T1", "T3", "T5"),
    *(f"K{n}" for n in range(1, 9)),
    *("B1", "B2", "B5", "B6", "B7", "B8", "B9", "B10", "O1", "O5"),
    *("X1", "X2", "X3", "X4", "X5", "X9", "D1"),
}
"""Hazards that the corpus must have a bad and a good history of."""


def _hazards(engine: Engine) -> list[Hazard]:
    """What the servers of this engine can be shown; skips where there are none."""
    major = engine.probe(usable(engine, Want())).major
    assert major is not None
    return possible(HAZARDS, major)


def _assert_nothing_broke(outcome: Outcome) -> None:
    assert not outcome.traceback, outcome.traceback
    assert outcome.document, outcome.text[-3000:]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_bad_history_gives_exactly_its_findings(tmp_path: Path, engine: Engine) -> None:
    bad = {hazard.bad: hazard for hazard in _hazards(engine) if hazard.bad}
    outcome = observe(tmp_path, list(bad), f"--pgmigrate-engine={engine.name}", "--pgmigrate-scale")

    _assert_nothing_broke(outcome)
    wrong = [folder for folder, h in bad.items() if codes(outcome, folder, "error", "warning") != h.expected]
    assert wrong == [], "\n".join(f"{bad[folder].expected}:\n{shown(outcome, folder)}" for folder in wrong)
    told = {folder: codes(outcome, folder, "info") for folder in bad}
    assert [folder for folder, h in bad.items() if not set(h.info) <= set(told[folder])] == []


@pytest.mark.parametrize("engine", ENGINES)
def test_every_good_history_is_silent(tmp_path: Path, engine: Engine) -> None:
    good = {hazard.good: hazard for hazard in _hazards(engine) if hazard.good}
    outcome = observe(tmp_path, list(good), f"--pgmigrate-engine={engine.name}", "--pgmigrate-scale")

    _assert_nothing_broke(outcome)
    loud = [folder for folder in good if codes(outcome, folder, "error", "warning")]
    assert loud == [], "\n".join(shown(outcome, folder) for folder in loud)
    told = {folder: codes(outcome, folder, "info") for folder in good}
    assert [folder for folder, h in good.items() if set(h.info) & set(told[folder])] == []
    # Silence says something only of what was applied: every migration is there, and its locks were judged.
    for folder in good:
        parts = outcome.parts(name_of(folder))
        assert len(parts) == len(list((FIXTURES / folder).glob("*.up.sql"))), folder
        assert {verdict for found in parts.values() for verdict in found.values()} <= {"passed", "skipped"}, folder
        assert {found["locks"] for found in parts.values()} == {"passed"}, folder


def test_hazards_are_in_what_comes_after_the_first_migration() -> None:
    for hazard in HAZARDS:
        for folder in filter(None, (hazard.bad, hazard.good)):
            assert len(list((FIXTURES / folder).glob("*.up.sql"))) >= 2, folder


def test_every_item_has_a_bad_and_a_good_history() -> None:
    assert {hazard.item for hazard in HAZARDS if hazard.bad} >= ITEMS
    assert {hazard.item for hazard in HAZARDS if hazard.good} >= ITEMS


def test_every_folder_is_in_the_table() -> None:
    folders = {
        f"hazards/{path.parent.name}/{path.name}" for path in (FIXTURES / "hazards").glob("*/*") if path.is_dir()
    }
    named = {folder for hazard in HAZARDS for folder in (hazard.bad, hazard.good) if folder}
    assert folders - named == set()
    assert [folder for folder in named if not (FIXTURES / folder).is_dir()] == []


def test_no_bad_history_is_listed_twice() -> None:
    folders = [hazard.bad for hazard in HAZARDS if hazard.bad]
    assert len(folders) == len(set(folders))
    assert [h.what for h in HAZARDS if h.bad and not h.expected and not h.silent] == []
