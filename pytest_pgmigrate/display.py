"""What a run shows in the terminal: findings in colour, a progress line, the summary; each without pytest's nodes."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.reports import _document, terminal
from pytest_pgmigrate.reports._ignored import ignored_lines
from pytest_pgmigrate.reports._timeline import timeline_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest
    from _pytest._io import TerminalWriter

    from pytest_pgmigrate.model.finding import Finding


class _Crash:
    """What pytest's short summary shows after the node id."""

    def __init__(self, path: str, lineno: int, message: str) -> None:
        self.path, self.lineno, self.message = path, lineno, message

    def __str__(self) -> str:
        return self.message


class FindingsText:
    """A failure as text, with the severity coloured on a terminal."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        self.entries = [_document.finding_entry(finding) for finding in findings]
        first = self.entries[0]
        message = f"{first['code']} {first['slug']}: {first['message']}"
        self.reprcrash = _Crash(str(first["file"]), int(str(first["line"])), message)

    def __str__(self) -> str:
        return "\n\n".join("\n".join(terminal.finding_lines(entry)) for entry in self.entries)

    def toterminal(self, tw: TerminalWriter) -> None:
        """Write the findings, headings in colour."""
        for number, entry in enumerate(self.entries):
            if number:
                tw.line("")
            write_finding(tw, entry)


def write_finding(tw: TerminalWriter, entry: dict[str, Any]) -> None:
    """One finding with its first line coloured by severity and its fix in green."""
    colour = {"error": "red", "warning": "yellow"}.get(str(entry["severity"]), "cyan")
    fixing = False
    for number, line in enumerate(terminal.finding_lines(entry, min(tw.fullwidth, 120))):
        fixing = line.startswith("  fix:") or (fixing and line.startswith(" " * 10))
        if number == 0:
            tw.line(line, bold=True, **{colour: True})
        elif fixing:
            tw.line(line, green=True)
        else:
            tw.line(line)


class Progress:
    """Says what takes long, in a terminal only, right of what pytest has written, and is gone when it is over."""

    def __init__(self, config: pytest.Config) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        wanted = reporter is not None and reporter.isatty and config.option.verbose == 0
        self._reporter = reporter if wanted and os.environ.get("TERM") != "dumb" else None
        self._capture = config.pluginmanager.get_plugin("capturemanager")

    def __call__(self, text: str) -> None:
        """Show what is being done now."""
        self._put(f"pgmigrate: {text} …")

    def done(self) -> None:
        """Take the line away."""
        self._put("")

    def _put(self, text: str) -> None:
        if self._reporter is None:
            return
        # While an item runs, standard output is captured for it.
        with self._capture.global_and_fixture_disabled() if self._capture else nullcontext():
            tw = self._reporter._tw
            room = max(tw.fullwidth - tw.width_of_current_line - 1, 0)
            # Erase to the end of the line, then write and come back: pytest's own line stays as it is.
            tw._file.write(f"\x1b[K\x1b7\x1b[36m{text[:room]}\x1b[0m\x1b8" if text else "\x1b[K")
            tw.flush()


def write_summary(
    tw: TerminalWriter,
    document: _document.Document,
    targets: Iterable[Any],
    problems: Mapping[str | None, str],
    kept: Iterable[str],
    *,
    verbose: int,
) -> None:
    """The timeline with -v, warnings, what was not judged, where the reports are, and the figures of the run."""
    if verbose > 0:
        for line in timeline_lines(document, tw.fullwidth):
            tw.line(line)
    for entry in terminal.shown(document, verbose=verbose > 1):
        write_finding(tw, entry)
        tw.line("")
    for line in terminal.reason_lines(document):
        tw.line(line)
    for line in ignored_lines(document["ignored_data"]):
        tw.line(line)
    for line in terminal.not_judged_lines(document["not_judged"]):
        tw.line(f"not judged: {line}", yellow=True)
    for target in targets:
        if target.file:
            if target.file not in problems:
                tw.line(f"report: {target.file}")
        else:
            tw.line(target.report.render(document).rstrip("\n"))
    write_problems(tw, problems)
    for line in kept:
        tw.line(f"kept: {line}")
    if line := terminal.cache_line(document):
        tw.line(line)
    lost = sum(1 for entry in document["not_judged"] if entry["subject"] == "examination")
    judged = len(document["history"]) - lost
    note = f", {lost} could not be examined" if lost else ""
    tw.line(f"{judged} migrations judged{note}: {terminal.summary_line(document)}")


def write_problems(tw: TerminalWriter, problems: Mapping[str | None, str]) -> None:
    """Reports that could not be written."""
    for problem in problems.values():
        tw.line(problem, red=True)
