"""What registers by being there, and how users choose among it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_pgmigrate import registry
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import History
from pytest_pgmigrate.options import Settings
from tests.checks import made

ALL = registry.load_checks()


def _codes(**settings: tuple[str, ...]) -> set[str]:
    return {check.code for check in registry.choose(ALL, Settings(**settings))}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("PMG402", True),
        ("pmg402", True),
        ("PMG4", True),
        ("PMG40", True),
        ("PMG", True),
        ("down-leaves-difference", True),
        ("Down-Leaves-Difference", True),
        ("PMG403", False),
        ("down-leaves", False),
        ("P-MG402", False),
        ("402", False),
        ("", False),
    ],
)
def test_matches(word: str, meant: bool) -> None:
    assert registry.matches(word, "PMG402", "down-leaves-difference") is meant


def test_choose_selects_and_ignores() -> None:
    everything = {check.code for check in ALL}
    assert _codes() == everything
    assert _codes(select=("PMG1", "down-fails")) == {c for c in everything if c.startswith("PMG1")} | {"PMG401"}
    assert _codes(ignore=("PMG1",)) == {c for c in everything if not c.startswith("PMG1")}
    assert _codes(select=("PMG4",), ignore=("PMG402",)) == {
        c for c in everything if c.startswith("PMG4") and c != "PMG402"
    }


@pytest.mark.parametrize("setting", ["select", "ignore"])
def test_choose_refuses_a_word_that_means_nothing(setting: str) -> None:
    with pytest.raises(UsageError, match=r"'PMG999'.*--pgmigrate-list"):
        registry.choose(ALL, Settings(**{setting: ("PMG4", "PMG999")}))  # type: ignore[arg-type]


def test_codes_and_slugs_are_unique() -> None:
    assert len({check.code for check in ALL}) == len(ALL)
    assert len({check.slug for check in ALL}) == len(ALL)


def test_a_check_of_ones_own_joins_by_code() -> None:
    @registry.check("SHOP01", "no-comment", part=Part.APPLY, severity=Severity.WARNING)
    def no_comment(evidence: MigrationEvidence, settings: Settings) -> Iterator[registry.Observation]:
        """Every migration of the shop has a comment."""
        yield registry.Observation(made.migration().up.statements[0].place, "no comment", "none", "write one")

    assert no_comment.scope == "migration"
    assert no_comment in registry.load_checks([no_comment])
    found = list(no_comment.judge(made.clean(), "000002_add_note", Settings()))
    assert [(f.code, f.severity, f.migration) for f in found] == [("SHOP01", Severity.WARNING, "000002_add_note")]
    assert next(no_comment.judge(made.clean(), "", Settings(strict=True))).severity is Severity.ERROR


@pytest.mark.parametrize("code", ["pmg201", "PMG", "201", "PMG-201"])
def test_a_code_must_look_like_one(code: str) -> None:
    def judge(history: History, settings: Settings) -> Iterator[registry.Observation]:
        yield from ()

    with pytest.raises(TypeError, match="is not a check code"):
        registry.check(code, "x", part=Part.APPLY, severity=Severity.ERROR)(judge)


def test_a_check_must_take_evidence() -> None:
    def judge(text: str, settings: Settings) -> Iterator[registry.Observation]:
        yield from ()

    with pytest.raises(TypeError, match="a check takes"):
        registry.check("SHOP02", "x", part=Part.APPLY, severity=Severity.ERROR)(judge)


@pytest.mark.parametrize("severity", [Severity.ERROR, Severity.WARNING, Severity.INFO])
def test_strict_raises_warnings_alone(severity: Severity) -> None:
    @registry.check("SHOP03", "x", part=Part.APPLY, severity=severity)
    def judge(history: History, settings: Settings) -> Iterator[registry.Observation]:
        yield registry.Observation(made.migration().up.statements[0].place, "m", "e", "f")

    strict = next(judge.judge(made.history(), "", Settings(strict=True))).severity
    assert strict is (Severity.ERROR if severity is Severity.WARNING else severity)


@pytest.mark.parametrize(
    ("load", "names"),
    [
        (registry.load_engines, {"docker", "embedded", "external", "local"}),
        (registry.load_formats, {"golang-migrate"}),
        (registry.load_reports, {"json", "text"}),
    ],
)
def test_rooms_register_by_being_there(load: object, names: set[str]) -> None:
    found = load()  # type: ignore[operator]
    assert names <= set(found)
    assert all(item.name == name for name, item in found.items())
