"""Finds what registers by being there: checks, formats, engines and reports; select and ignore by code or slug."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.finding import Finding, Part, Severity
from pytest_pgmigrate.model.migration import Place

if TYPE_CHECKING:
    from pytest_pgmigrate.options import Settings


@dataclass(frozen=True, slots=True)
class Observation:
    """What a check function yields; the registry adds code, slug, part and migration.

    ``strict`` is the severity under ``--pgmigrate-strict`` when it is not the usual one (warnings become errors).
    """

    place: Place
    message: str
    effect: str
    fix: str
    observed: dict[str, object] = field(default_factory=dict)
    details: tuple[str, ...] = ()
    severity: Severity | None = None
    migration: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A pure function from evidence to observations, with its code and slug. Made by the ``check`` decorator."""

    code: str
    slug: str
    part: Part
    severity: Severity
    scope: str
    """``history`` (gets a History), ``migration`` (a MigrationEvidence) or ``judgement`` (a Judgement)."""

    since: str
    function: Callable[[Any, Settings], Iterator[Observation]]
    strict: Severity | None = None

    @property
    def documentation(self) -> str:
        """The function's docstring: the manual page of the check."""
        return inspect.cleandoc(self.function.__doc__ or "")

    def judge(self, evidence: Any, migration: str, settings: Settings) -> Iterator[Finding]:
        """Findings for one piece of evidence, severities as the settings want them."""
        for seen in self.function(evidence, settings):
            severity = seen.severity or self.severity
            if settings.strict:
                severity = self.strict or (Severity.ERROR if severity is Severity.WARNING else severity)
            yield Finding(
                code=self.code,
                slug=self.slug,
                severity=severity,
                part=self.part,
                migration=migration if seen.migration is None else seen.migration,
                place=seen.place,
                message=seen.message,
                effect=seen.effect,
                fix=seen.fix,
                observed=dict(seen.observed),
                details=seen.details,
            )


_SCOPES = {"History": "history", "MigrationEvidence": "migration", "Judgement": "judgement"}


def check(
    code: str, slug: str, *, part: Part, severity: Severity, since: str = "0.1", strict: Severity | None = None
) -> Callable[[Callable[[Any, Settings], Iterator[Observation]]], Check]:
    """Turn a generator function into a Check.

    The annotation of its first parameter (``History``, ``MigrationEvidence`` or ``Judgement``) chooses what it receives.

    Raises TypeError for a code that is not ``PMG`` and three digits, or a function of another shape.
    """

    def decorate(function: Callable[[Any, Settings], Iterator[Observation]]) -> Check:
        parameters = list(inspect.signature(function).parameters.values())
        annotation = str(parameters[0].annotation).rsplit(".", 1)[-1].strip("'>") if parameters else ""
        where = f"{inspect.getsourcefile(function)}:{function.__code__.co_firstlineno}"
        if len(parameters) != 2 or annotation not in _SCOPES:
            raise TypeError(
                f"{where}: a check takes (evidence: History | MigrationEvidence | Judgement, settings: Settings)"
            )
        if not re.fullmatch(r"PMG\d{3}|[A-Z]{2,6}\d{2,4}", code):
            raise TypeError(f"{where}: {code!r} is not a check code such as PMG201")
        return Check(code, slug, part, severity, _SCOPES[annotation], since, function, strict)

    return decorate


def _modules(package: str) -> Iterator[Any]:
    root = importlib.import_module(package)
    for info in sorted(pkgutil.iter_modules(root.__path__), key=lambda module: module.name):
        if not info.name.startswith("_"):
            yield importlib.import_module(f"{package}.{info.name}")


def load_checks(more: Iterable[Check] = ()) -> tuple[Check, ...]:
    """All checks, by code: one per file of ``pytest_pgmigrate.checks``, and ``more`` from hooks."""
    found = [value for module in _modules("pytest_pgmigrate.checks") for value in vars(module).values()]
    checks = sorted({c.code: c for c in [*found, *more] if isinstance(c, Check)}.values(), key=lambda c: c.code)
    return tuple(checks)


def load_named(package: str, attribute: str, more: Iterable[Any] = ()) -> dict[str, Any]:
    """Objects with a ``name`` that the modules of a package offer under one attribute (ENGINE, FORMAT, REPORT)."""
    found = [getattr(module, attribute) for module in _modules(package) if hasattr(module, attribute)]
    return {item.name: item for item in [*found, *more]}


def load_engines() -> dict[str, Any]:
    """Engines by name: every module of ``pytest_pgmigrate.engines`` with an ``ENGINE``."""
    return load_named("pytest_pgmigrate.engines", "ENGINE")


def load_formats(more: Iterable[Any] = ()) -> dict[str, Any]:
    """Migration formats by name: every module of ``pytest_pgmigrate.discovery`` with a ``FORMAT``."""
    return load_named("pytest_pgmigrate.discovery", "FORMAT", more)


def load_reports(more: Iterable[Any] = ()) -> dict[str, Any]:
    """Reports by name: every module of ``pytest_pgmigrate.reports`` with a ``REPORT``."""
    return load_named("pytest_pgmigrate.reports", "REPORT", more)


def matches(word: str, code: str, slug: str) -> bool:
    """Whether a word of the user (code, code prefix such as PMG2 or PMG, or slug) means this check."""
    return word.lower() == slug or (bool(re.fullmatch(r"[A-Za-z]+\d*", word)) and code.startswith(word.upper()))


def choose(checks: tuple[Check, ...], settings: Settings) -> tuple[Check, ...]:
    """The checks that ``select`` and ``ignore`` leave. Raises UsageError for a word that means no check."""
    for word in (*settings.select, *settings.ignore):
        if not any(matches(word, c.code, c.slug) for c in checks):
            raise UsageError(f"no check has the code, code prefix or slug {word!r}; --pgmigrate-list shows them all")
    wanted = [c for c in checks if not settings.select or any(matches(w, c.code, c.slug) for w in settings.select)]
    return tuple(c for c in wanted if not any(matches(w, c.code, c.slug) for w in settings.ignore))


def silence(finding: Finding, reason: str) -> Finding:
    """The finding, marked as ignored with the user's reason."""
    return replace(finding, ignored=reason)
