"""Which engine to use when the user does not say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_pgmigrate.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_pgmigrate.model.cluster import Availability, Engine, Want

ORDER = ("docker", "embedded", "local")
"""Docker first, because an image can be the version of production; then what needs nothing but pip; then what is there."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine to use, what it said, and which ones were passed over and why."""

    engine: Engine
    availability: Availability
    passed_over: tuple[tuple[str, str], ...] = ()


def choose(want: Want, engines: Mapping[str, Engine], name: str) -> Choice:
    """The engine called ``name``, or for ``auto`` the first usable one. Starts and pulls nothing.

    Raises EngineError: for a name with the engine's reason, for ``auto`` with every engine tried and why not.
    """
    if name != "auto":
        return _named(want, engines, name)
    # Only who asked for docker by name gets an image pulled.
    asked = replace(want, pull=False)
    if want.dsn:
        return _named(want, engines, "external")
    passed: list[tuple[str, str]] = []
    others = sorted(set(engines) - {*ORDER, "external"})
    for candidate in (*ORDER, *others):
        if candidate not in engines:
            continue
        answer = engines[candidate].probe(asked)
        if answer.usable:
            return Choice(engines[candidate], answer, tuple(passed))
        passed.append((candidate, answer.reason))
    lines = "".join(f"\n  {tried}: {reason}" for tried, reason in passed)
    version = "" if want.major is None else f" {want.major}"
    raise EngineError(f"no PostgreSQL{version} server can be had here; tried{lines}")


def _named(want: Want, engines: Mapping[str, Engine], name: str) -> Choice:
    if name not in engines:
        raise EngineError(f"unknown engine {name!r}: choose auto, {', '.join(sorted(engines))}")
    answer = engines[name].probe(want)
    if not answer.usable:
        raise EngineError(f"engine {name}: {answer.reason}")
    return Choice(engines[name], answer)
