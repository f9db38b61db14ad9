"""pytest's nodes: a file of a history, and one item for each part of its migration's examination."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_pgmigrate.display import FindingsText, Progress
from pytest_pgmigrate.errors import PgmigrateError
from pytest_pgmigrate.histories import HistoryRun
from pytest_pgmigrate.model.finding import Finding, Part, Severity
from pytest_pgmigrate.session import Run

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo, TerminalRepr

    from pytest_pgmigrate.checks._judge import Verdict
    from pytest_pgmigrate.model.migration import History, Migration

RUN: pytest.StashKey[Run] = pytest.StashKey()


class FindingsError(Exception):
    """Raised by an item whose part failed; carries the findings, shown without a Python traceback."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__(f"{len(findings)} findings")
        self.findings = findings


class MigrationFile(pytest.File):
    """One migration file of a history."""

    run: HistoryRun

    @classmethod
    def make(cls, parent: pytest.Collector, path: Path, run: HistoryRun) -> MigrationFile:
        """The node of one file."""
        node: MigrationFile = cls.from_parent(parent, path=path)
        node.run = run
        return node

    def collect(self) -> Iterator[pytest.Item]:
        """An item for each part that a selected check can judge.

        Only ``history`` for a file without a migration; nothing about the way back where the migration says that there
        is none.
        """
        run = self.config.stash[RUN]
        migration = next((m for m in self.run.history.migrations if m.up.path == str(self.path)), None)
        one_way = migration is not None and migration.down is None and bool(migration.irreversible())
        for part in run.parts:
            if migration is None and part is not Part.HISTORY:
                continue
            if not (one_way and part in (Part.ROLLBACK, Part.REAPPLY)):
                yield PartItem.make(self, self.run, migration, part)


class PartItem(pytest.Item):
    """One part of one migration's examination."""

    run: HistoryRun
    migration: Migration | None
    part: Part

    @classmethod
    def make(cls, parent: MigrationFile, run: HistoryRun, migration: Migration | None, part: Part) -> PartItem:
        """The node of one part."""
        item: PartItem = cls.from_parent(parent, name=part.value)
        item.run, item.migration, item.part = run, migration, part
        item.add_marker(pytest.mark.pgmigrate)
        if item.config.pluginmanager.hasplugin("xdist"):
            # One worker for one history, else each worker would start servers and run all predecessors.
            item.add_marker(pytest.mark.xdist_group(group_of(run)))
        return item

    @property
    def order(self) -> tuple[str, int, int]:
        """History order: by version, then part."""
        index = self.migration.index if self.migration else len(self.run.history.migrations)
        return (self.run.history.folder, index, list(Part).index(self.part))

    def runtest(self) -> None:
        """Judge the part; the first item of a migration examines it."""
        verdict = self._verdict()
        if verdict.outcome == "skipped":
            pytest.skip(verdict.reason)
        errors = tuple(f for f in verdict.findings if f.severity is Severity.ERROR)
        if errors:
            raise FindingsError(errors)

    def _verdict(self) -> Verdict:
        run = self.config.stash[RUN]
        if self.migration is None:
            return run.file_result(self.run, self.file)
        progress = Progress(self.config)
        try:
            return run.result(self.run, self.migration, self.part, progress)
        finally:
            progress.done()

    @property
    def file(self) -> str:
        """The file as findings name it."""
        entry = next((f for f in self.run.history.files if f.path == str(self.path)), None)
        return entry.file if entry else str(self.path)

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        """Findings and our own errors as text; anything else is a fault of ours and keeps its traceback."""
        if isinstance(excinfo.value, FindingsError):
            return FindingsText(excinfo.value.findings)  # type: ignore[return-value]
        if isinstance(excinfo.value, PgmigrateError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """File and headline; there is no line, a part is about the whole migration.

        In a headline that ends the node id the terminal would replace every dot by ``::``.
        """
        return self.path, None, f"{self.path.name} {self.name}"


def group_of(run: HistoryRun) -> str:
    """The name of the group that xdist keeps together."""
    return f"pgmigrate-{run.history.folder}"


def judged_files(history: History) -> Iterator[str]:
    """Paths of the files that become nodes: ups that are judged, and stray files."""
    yield from (m.up.path for m in history.migrations if m.judged)
    yield from (e.path for e in history.files if e.role in ("orphan-down", "unknown") and e.judged)


def passed_over(directory: pytest.Directory, paths: Iterable[str]) -> Iterator[Path]:
    """Those of the paths right in a directory for which pytest never asks ``pytest_collect_file``.

    That is what is no regular file when links are followed: a link to nowhere or to itself, a directory, a pipe.
    """
    for path in map(Path, paths):
        if path.parent != directory.path or os.path.isfile(path):
            continue
        if not directory.ihook.pytest_ignore_collect(collection_path=path, config=directory.config):
            yield path
