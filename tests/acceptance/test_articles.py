"""The histories of both seed articles, as published and repaired."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pgmigrate.engines.docker import ENGINE as DOCKER
from pytest_pgmigrate.engines.embedded import ENGINE as EMBEDDED
from pytest_pgmigrate.engines.local import ENGINE as LOCAL
from pytest_pgmigrate.model.cluster import Engine, Want
from tests.acceptance.histories import FIXTURES, expected, run, skipped
from tests.fix_cluster import usable

SECOND = "expand_contract"
ISOLATED = sorted(p for name in ("ecommerce", SECOND) for p in (FIXTURES / name / "isolated").glob("*") if p.is_dir())
PUBLISHED = [FIXTURES / "ecommerce" / "published", FIXTURES / SECOND / "published"]
REPAIRED = [FIXTURES / "ecommerce" / "repaired", FIXTURES / SECOND / "repaired"]

ENGINES = [
    pytest.param(EMBEDDED, None, id="embedded"),
    pytest.param(LOCAL, None, id="local"),
    pytest.param(DOCKER, "pgmigrate-test/postgres:15", id="docker-15", marks=pytest.mark.docker),
    pytest.param(DOCKER, "pgmigrate-test/postgres:18", id="docker-18", marks=pytest.mark.docker),
]


def flags_of(engine: Engine, image: str | None) -> list[str]:
    """The flags for an engine; skips, with its reason, when it is not usable here."""
    usable(engine, Want(image=image))
    return [f"--pgmigrate-engine={engine.name}"] + ([f"--pgmigrate-image={image}"] if image else [])


@pytest.mark.parametrize(("engine", "image"), ENGINES)
@pytest.mark.parametrize("folder", REPAIRED, ids=lambda p: p.parent.name)
def test_repaired_history_is_green(tmp_path: Path, folder: Path, engine: Engine, image: str | None) -> None:
    outcome = run(tmp_path, {"migrations": folder}, *flags_of(engine, image))

    assert outcome.findings("migrations") == set(), outcome.text[-3000:]
    assert outcome.ret == pytest.ExitCode.OK, outcome.text[-3000:]
    parts = outcome.parts("migrations")
    assert len(parts) == len(list(folder.glob("*.up.sql")))
    assert {verdict for verdicts in parts.values() for verdict in verdicts.values()} == {"passed"}
    # Only a step that is declared irreversible has no parts about a way back.
    for file, verdicts in parts.items():
        assert ("rollback" in verdicts) == (folder / file.replace(".up.", ".down.")).exists(), (file, verdicts)


@pytest.mark.parametrize(("engine", "image"), ENGINES)
@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda p: p.parent.name)
def test_published_history_gives_exactly_the_expected_findings(
    tmp_path: Path, folder: Path, engine: Engine, image: str | None
) -> None:
    outcome = run(tmp_path, {"migrations": folder}, *flags_of(engine, image))

    assert outcome.findings("migrations") == expected(folder), outcome.text[-3000:]
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    assert not outcome.traceback
    reasons = {Path(n["subject"]).name: n["reason"] for n in outcome.document["not_judged"]}
    for file, needs in skipped(folder).items():
        assert needs in reasons[file]


def test_isolated_faults_give_exactly_the_expected_findings(tmp_path: Path) -> None:
    folders = {f"{path.parent.parent.name}_{path.name}": path for path in ISOLATED}
    outcome = run(tmp_path, folders, "--pgmigrate-engine=embedded")

    assert {name: outcome.findings(name) for name in folders} == {n: expected(p) for n, p in folders.items()}
    assert not outcome.traceback
