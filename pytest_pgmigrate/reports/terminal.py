"""Findings as a person reads them in a terminal: place, what was observed, effect, fix; and the summary by family."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_pgmigrate.reports._document import Document
from pytest_pgmigrate.reports._ignored import ignored_lines

FAMILIES = {
    "1": "history",
    "2": "applying",
    "3": "locks",
    "4": "rollback",
    "5": "replica",
    "6": "compatibility",
    "7": "data",
    "9": "run",
}
_LABEL = 8


def finding_lines(finding: Mapping[str, Any], width: int = 100) -> Iterator[str]:
    """One finding, at most a handful of lines."""
    place = f"{finding['file']}:{finding['line']}:{finding['column']}"
    note = "" if finding["severity"] == "error" else f" ({finding['severity']})"
    yield f"{place}: {finding['code']} {finding['slug']}{note}"
    yield from _wrapped("", finding["message"], width)
    for detail in finding["details"]:
        yield from _wrapped("", f"- {detail}", width)
    yield from _wrapped("effect:", finding["effect"], width)
    yield from _wrapped("fix:", finding["fix"], width)
    if finding.get("ignored"):
        yield from _wrapped("ignored:", finding["ignored"], width)


def _wrapped(label: str, text: str, width: int) -> Iterator[str]:
    first = f"  {label:<{_LABEL - 1}} " if label else "  "
    rest = " " * len(first) if label else "    "
    yield from textwrap.wrap(
        text,
        max(width, 60),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def _family(code: str) -> str:
    """The hundred of one of our codes; checks that a plugin adds have other codes and a family of their own."""
    return code[3] if code.startswith("PMG") and code[3:4] in FAMILIES else ""


def summary_line(document: Document) -> str:
    """Errors and warnings by family: ``rollback 2 errors · applying 1 warning``."""
    counts: Counter[tuple[str, str]] = Counter(
        (_family(str(f["code"])), f["severity"])
        for f in document["findings"]
        if not f.get("ignored") and f["severity"] != "info"
    )
    words = []
    for digit, family in {**FAMILIES, "": "other"}.items():
        errors, warnings = counts[digit, "error"], counts[digit, "warning"]
        parts = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
        if parts:
            words.append(f"{family} {', '.join(parts)}")
    return " · ".join(words) if words else "no errors, no warnings"


def cache_line(document: Document) -> str:
    """Which migrations were not applied again, or ""."""
    seeding = document["seeding"]
    if not seeding["from_cache"]:
        return ""
    first, last = seeding["from_cache"]
    versions = first if first == last else f"{first}\u2013{last}"
    return f"from the cache: {versions} applied{' and filled' if seeding['rows'] else ''}"


def shown(document: Document, *, verbose: bool) -> list[dict[str, Any]]:
    """The findings of the summary, errors being shown with their items: warnings; with ``verbose`` information too."""
    severities = ("warning", "info") if verbose else ("warning",)
    return [f for f in document["findings"] if f["severity"] in severities and not f.get("ignored")]


def reason_lines(document: Document) -> Iterator[str]:
    """What directives silenced or declared, each with the reason its author gave."""
    for finding in document["findings"]:
        place = f"{finding['file']}:{finding['line']}"
        if finding.get("ignored"):
            yield f"ignored: {place}: {finding['code']} {finding['slug']}: {finding['ignored']}"
        elif finding["code"] == "PMG409" and finding["severity"] == "info":
            yield f"acknowledged: {place}: {finding['message']}"


def not_judged_lines(items: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """What could not be looked at, one line for each distinct reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for item in items:
        groups.setdefault((item["subject"], item["reason"]), []).append(item["migration"])
    for (subject, reason), migrations in groups.items():
        named = [m for m in migrations if m]
        where = f" ({len(named)} migrations)" if len(named) > 1 else f" ({named[0]})" if named else ""
        yield f"{subject}{where}: {reason}"


class TerminalReport:
    """``--pgmigrate-report=text:FILE``: what the terminal shows, without colours."""

    name = "text"

    def render(self, document: Document) -> str:
        """All findings, what was not judged, and the summary line."""
        lines = [line for f in document["findings"] for line in (*finding_lines(f), "")]
        lines += ignored_lines(document["ignored_data"])
        lines += [f"not judged: {line}" for line in not_judged_lines(document["not_judged"])]
        return "\n".join([*lines, summary_line(document)]) + "\n"


REPORT = TerminalReport()
