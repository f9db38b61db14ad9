"""The histories of both seed articles, as published and repaired."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.histories import FIXTURES, expected, run, skipped

SECOND = "expand_contract"
ISOLATED = sorted(p for name in ("ecommerce", SECOND) for p in (FIXTURES / name / "isolated").glob("*") if p.is_dir())
PUBLISHED = [FIXTURES / "ecommerce" / "published", FIXTURES / SECOND / "published"]
REPAIRED = [FIXTURES / "ecommerce" / "repaired", FIXTURES / SECOND / "repaired"]

ENGINES = [
    pytest.param(("--pgmigrate-engine=embedded",), id="embedded"),
    pytest.param(("--pgmigrate-engine=local",), id="local", marks=pytest.mark.local),
    pytest.param(
        ("--pgmigrate-engine=docker", "--pgmigrate-image=pgmigrate-test/postgres:15"),
        id="docker-15",
        marks=pytest.mark.docker,
    ),
    pytest.param(
        ("--pgmigrate-engine=docker", "--pgmigrate-image=pgmigrate-test/postgres:18"),
        id="docker-18",
        marks=pytest.mark.docker,
    ),
]


@pytest.mark.parametrize("flags", ENGINES)
@pytest.mark.parametrize("folder", REPAIRED, ids=lambda p: p.parent.name)
def test_repaired_history_is_green(pytester: pytest.Pytester, folder: Path, flags: tuple[str, ...]) -> None:
    outcome = run(pytester, {"migrations": folder}, *flags)

    assert outcome.findings("migrations") == set(), outcome.text
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    parts = outcome.parts("migrations")
    assert len(parts) == len(list(folder.glob("*.up.sql")))
    assert {verdict for verdicts in parts.values() for verdict in verdicts.values()} <= {"passed", "skipped"}
    # Only a step that is declared irreversible may leave a part out.
    for file, verdicts in parts.items():
        if "skipped" in verdicts.values():
            assert not (folder / file.replace(".up.", ".down.")).exists(), (file, verdicts)


@pytest.mark.parametrize("flags", [ENGINES[0], *ENGINES[2:]])
@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda p: p.parent.name)
def test_published_history_gives_exactly_the_expected_findings(
    pytester: pytest.Pytester, folder: Path, flags: tuple[str, ...]
) -> None:
    outcome = run(pytester, {"migrations": folder}, *flags)

    assert outcome.findings("migrations") == expected(folder), outcome.text
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    assert "Traceback" not in outcome.text
    reasons = {Path(n["subject"]).name: n["reason"] for n in outcome.document["not_judged"]}
    for file, needs in skipped(folder).items():
        assert needs in reasons[file]


def test_isolated_faults_give_exactly_the_expected_findings(pytester: pytest.Pytester) -> None:
    folders = {f"{path.parent.parent.name}_{path.name}": path for path in ISOLATED}
    outcome = run(pytester, folders, "--pgmigrate-engine=embedded")

    assert {name: outcome.findings(name) for name in folders} == {n: expected(p) for n, p in folders.items()}
    assert "Traceback" not in outcome.text
