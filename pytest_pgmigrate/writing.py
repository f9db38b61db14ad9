"""Where reports go: ``--pgmigrate-report=TYPE[:FILE]``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pgmigrate.errors import UsageError


@dataclass(frozen=True, slots=True)
class Target:
    """One report and its file; without a file it is printed in the summary."""

    report: Any
    file: str | None


def report_targets(values: Iterable[str], reports: Mapping[str, Any]) -> list[Target]:
    """Parse the report settings. Raises UsageError for an unknown type or an empty file name."""
    targets = []
    for value in values:
        name, colon, file = value.partition(":")
        if name not in reports:
            raise UsageError(f"no report is called {name!r}; there are: {', '.join(sorted(reports))}")
        if colon and not file:
            raise UsageError(f"--pgmigrate-report={value}: a file name must follow the colon")
        targets.append(Target(reports[name], file or None))
    return targets


def write(target: Target, document: dict[str, Any]) -> str:
    """Write one report; returns what went wrong, in words, or ""."""
    if target.file is None:
        return ""
    path = Path(target.file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file name need not be text; it must not cost the report.
        path.write_text(target.report.render(document), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        return f"the {target.report.name} report could not be written to {path}: {error.strerror or error}"
    return ""
