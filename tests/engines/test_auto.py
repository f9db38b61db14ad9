"""Which engine ``auto`` takes, and what it says about the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pytest_pgmigrate.engines.auto import choose
from pytest_pgmigrate.errors import EngineError
from pytest_pgmigrate.model.cluster import Availability, Want
from pytest_pgmigrate.registry import load_engines

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_pgmigrate.model.cluster import Cluster


@dataclass
class Known:
    """An engine of which only the answer matters."""

    name: str
    usable: bool
    asked: list[Want] = field(default_factory=list)

    def probe(self, want: Want) -> Availability:
        self.asked.append(want)
        return Availability(self.usable, f"reason of {self.name}", 18)

    def start(self, want: Want, progress: Callable[[str], None]) -> Cluster:
        raise AssertionError("choosing starts nothing")

    def sweep(self) -> int:
        raise AssertionError("choosing sweeps nothing")


def known(*usable: str) -> dict[str, Known]:
    return {name: Known(name, name in usable) for name in ("external", "local", "embedded", "docker")}


@pytest.mark.parametrize(
    ("usable", "dsn", "chosen", "passed"),
    [
        (("docker", "embedded", "local"), None, "docker", []),
        (("embedded", "local"), None, "embedded", ["docker"]),
        (("local",), None, "local", ["docker", "embedded"]),
        (("external", "docker"), "postgresql://x", "external", []),
        (("external", "local"), None, "local", ["docker", "embedded"]),
    ],
)
def test_order(usable: tuple[str, ...], dsn: str | None, chosen: str, passed: list[str]) -> None:
    choice = choose(Want(dsn=dsn), known(*usable), "auto")
    assert choice.engine.name == chosen
    assert choice.passed_over == tuple((name, f"reason of {name}") for name in passed)


def test_auto_never_pulls_and_docker_by_name_may() -> None:
    engines = known("docker")
    choose(Want(pull=True), engines, "auto")
    choose(Want(pull=True), engines, "docker")
    assert [want.pull for want in engines["docker"].asked] == [False, True]


def test_nothing_usable_lists_every_engine_tried() -> None:
    with pytest.raises(EngineError) as caught:
        choose(Want(major=17), known(), "auto")
    lines = str(caught.value).splitlines()
    assert lines[0] == "no PostgreSQL 17 server can be had here; tried"
    assert [line.strip() for line in lines[1:]] == [f"{n}: reason of {n}" for n in ("docker", "embedded", "local")]


def test_a_dsn_that_does_not_answer_is_never_replaced_by_something_else() -> None:
    with pytest.raises(EngineError, match="reason of external"):
        choose(Want(dsn="postgresql://x"), known("docker", "embedded"), "auto")


def test_a_named_engine_is_taken_or_refused_with_its_reason() -> None:
    assert choose(Want(), known("docker", "local"), "local").engine.name == "local"
    with pytest.raises(EngineError, match="engine embedded: reason of embedded"):
        choose(Want(), known("docker"), "embedded")
    with pytest.raises(EngineError, match=r"unknown engine 'mysql'.*docker, embedded, external, local"):
        choose(Want(), known("docker"), "mysql")


def test_the_registry_finds_all_four() -> None:
    assert set(load_engines()) >= {"docker", "embedded", "external", "local"}


@pytest.mark.parametrize("name", ["docker", "embedded", "local", "external"])
def test_a_version_that_is_not_to_be_had_is_refused(name: str) -> None:
    engine = load_engines()[name]
    answer = engine.probe(Want(major=99))
    assert not answer.usable
    assert answer.reason
    with pytest.raises(EngineError):
        engine.start(Want(major=99), lambda _: None)
