"""Migration files as pytest items: one per (migration, part), so that -k, --lf, -x, JUnit and xdist just work."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_pgmigrate import catalogue, options, registry
from pytest_pgmigrate.errors import EngineError, PgmigrateError, UsageError
from pytest_pgmigrate.model.finding import Finding, Part, Severity
from pytest_pgmigrate.reports import _document, terminal
from pytest_pgmigrate.session import Extras, HistoryRun, Run

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo, TerminalRepr
    from _pytest._io import TerminalWriter

    from pytest_pgmigrate.checks._judge import Verdict
    from pytest_pgmigrate.model.migration import History, Migration

RUN: pytest.StashKey[Run] = pytest.StashKey()


# -- settings and the other doors ---------------------------------------------------------------------------------------


def settings_of(config: pytest.Config) -> options.Settings:
    """The settings in force. Raises pytest.UsageError for a value that cannot be used."""
    flags = {option.dest: config.getoption(option.dest) for option in options.OPTIONS}
    ini = {option.key: config.getini(option.key) for option in options.OPTIONS if option.ini}
    try:
        return options.resolve(flags, ini)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _extras(config: pytest.Config, settings: options.Settings) -> Extras:
    hook = config.hook
    return Extras(
        checks=tuple(c for group in hook.pytest_pgmigrate_checks() for c in group),
        formats=tuple(f for group in hook.pytest_pgmigrate_formats() for f in group),
        reports=tuple(r for group in hook.pytest_pgmigrate_reports() for r in group),
        engine=hook.pytest_pgmigrate_make_engine(settings=settings),
        seeder=hook.pytest_pgmigrate_make_seeder(settings=settings),
    )


def _make_run(config: pytest.Config, settings: options.Settings) -> Run:
    """A run with its histories read."""
    try:
        run = Run(settings, config.rootpath, _extras(config, settings))
        run.discover(_folders(config, settings))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    return run


def _folders(config: pytest.Config, settings: options.Settings) -> list[Path]:
    """Folders the user named: --pgmigrate-path, the ini key, and positional arguments that hold migrations."""
    from pytest_pgmigrate.discovery import is_history

    named = [Path(os.path.expanduser(path)) for path in settings.path]
    base = config.invocation_params.dir if config.getoption("pgmigrate_path") else config.rootpath
    folders = [path if path.is_absolute() else base / path for path in named]
    formats = registry.load_formats()
    if config.args_source is config.ArgsSource.ARGS:
        for arg in config.args:
            path = (config.invocation_params.dir / arg.split("::", 1)[0]).absolute()
            folder = path if path.is_dir() else path.parent
            if (path.is_dir() or path.suffix == ".sql") and folder not in folders and is_history(folder, formats):
                folders.append(folder)
    return folders


def answer(config: pytest.Config) -> int:
    """Print what --pgmigrate-explain or --pgmigrate-list ask for; the exit code."""
    settings = settings_of(config)
    try:
        checks = registry.load_checks(c for group in config.hook.pytest_pgmigrate_checks() for c in group)
        if settings.explain is not None:
            print(catalogue.explain(checks, settings.explain))
            return 0
        run = _make_run(config, settings)
        print(catalogue.listing([r.history for r in run.histories], registry.choose(checks, settings)))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    return 0


def register(config: pytest.Config) -> None:
    """Read the histories and put the collecting plugin in place; called under --pgmigrate only."""
    settings = settings_of(config)
    if settings.explain is not None or settings.list:
        return
    run = _make_run(config, settings)
    config.stash[RUN] = run
    engines = sorted({"auto", *registry.load_engines()})
    if settings.engine not in engines and run.extras.engine is None:
        raise pytest.UsageError(f"no engine is called {settings.engine!r}; there are: {', '.join(engines)}")
    from pytest_pgmigrate.writing import report_targets

    try:
        targets = report_targets(settings.report, registry.load_reports(run.extras.reports))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(Collecting(config, run, targets), "pgmigrate-collecting")
    _add_arguments(config, run)


def _add_arguments(config: pytest.Config, run: Run) -> None:
    """Let pytest walk into the histories' folders whatever testpaths says, unless it would anyway."""
    given = [(config.invocation_params.dir / arg.split("::", 1)[0]).absolute() for arg in config.args]
    for history_run in run.histories:
        folder = Path(history_run.history.path)
        if not any(path == folder or path in folder.parents or folder in path.parents for path in given):
            config.args.append(str(folder))


# -- nodes ----------------------------------------------------------------------------------------------------------------


class FindingsError(Exception):
    """Raised by an item whose part failed; carries the findings, shown without a Python traceback."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__(f"{len(findings)} findings")
        self.findings = findings


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
            if not (one_way and part in (Part.ROLLBACK, Part.REAPPLY, Part.DATA)):
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
            item.add_marker(pytest.mark.xdist_group(f"pgmigrate-{run.history.folder}"))
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


# -- the plugin -------------------------------------------------------------------------------------------------------------


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


def _judged_files(history: History) -> Iterator[str]:
    """Paths of the files that become nodes: ups that are judged, and stray files."""
    yield from (m.up.path for m in history.migrations if m.judged)
    yield from (e.path for e in history.files if e.role in ("orphan-down", "unknown") and e.judged)


class Collecting:
    """The hooks that are only needed under --pgmigrate."""

    def __init__(self, config: pytest.Config, run: Run, targets: list[Any]) -> None:
        self.config = config
        self.run = run
        self.targets = targets
        self.worker = hasattr(config, "workerinput")
        self.controls = not self.worker and bool(getattr(config.option, "dist", "no") != "no" and config.option.tx)
        self.documents: list[_document.Document] = []
        self.problems: dict[str | None, str] = {}
        self._files = {path: r for r in run.histories for path in _judged_files(r.history)}

    def pytest_report_header(self) -> list[str]:
        """Which engine, which PostgreSQL, why the others were passed over; which histories."""
        lines = []
        for history_run in self.run.histories:
            history = history_run.history
            lines.append(f"pgmigrate: {history.folder}: {len(history.migrations)} migrations ({history.format})")
        if not self.run.histories:
            lines.append("pgmigrate: no folder of migrations found; name one with --pgmigrate-path")
            return lines
        try:
            choice = self.run.choose_engine()
        except EngineError as error:
            return [*lines, f"pgmigrate: {str(error).splitlines()[0]}"]
        lines.append(f"pgmigrate: engine {choice.engine.name}: {choice.availability.reason}")
        lines += [f"pgmigrate: passed over {name}: {reason}" for name, reason in choice.passed_over]
        return lines

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> MigrationFile | None:
        """A file of a history that is judged."""
        history_run = self._files.get(str(file_path))
        return MigrationFile.make(parent, file_path, history_run) if history_run is not None else None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """History order among our own items; every other item stays where it is."""
        places = [number for number, item in enumerate(items) if isinstance(item, PartItem)]
        ours = sorted((items[n] for n in places), key=lambda item: item.order)  # type: ignore[attr-defined]
        for number, item in zip(places, ours, strict=True):
            items[number] = item

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What is still selected is examined; its predecessors are only applied."""
        for item in session.items:
            if isinstance(item, PartItem) and item.migration is not None:
                self.run.select(item.run, item.migration)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Start the servers before the first item of ours, so that the progress line stands alone."""
        needed = any(isinstance(i, PartItem) and i.part is not Part.HISTORY and i.migration for i in session.items)
        if needed and not self.worker and not self.controls and not self.config.option.collectonly:
            progress = Progress(self.config)
            try:
                self.run.start(progress)
            except EngineError:
                pass  # the first item says so
            finally:
                progress.done()
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the reports and stop the servers; an xdist worker sends its document home instead."""
        nothing_new = session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.run.histories
        if nothing_new and self.run.settings.since is not None and not session.testscollected:
            # A push that touches no migration is nothing to fail for.
            session.exitstatus = pytest.ExitCode.OK
        try:
            if self.worker:
                self.config.workeroutput["pgmigrate"] = self.run.document()  # type: ignore[attr-defined]
            else:
                self._write(self.documents)
            if self.problems and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                # Who asked for a report must not take its absence for success.
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        finally:
            self.run.close()
            if self.worker:
                self.config.workeroutput["pgmigrate_kept"] = list(self.run.kept)  # type: ignore[attr-defined]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take in what an xdist worker found."""
        document = getattr(node, "workeroutput", {}).get("pgmigrate")
        if document:
            self.documents.append(document)
        self.run.kept += tuple(node.workeroutput.get("pgmigrate_kept", ())) if document else ()

    def _write(self, documents: list[_document.Document]) -> None:
        from pytest_pgmigrate.writing import write

        self.document = _document.merge(documents) if documents else self.run.document()
        if not self.config.option.collectonly:
            self.problems = {t.file: problem for t in self.targets if (problem := write(t, self.document))}

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Warnings, what was not judged, and the findings by family."""
        document = getattr(self, "document", None)
        if document is None or self.config.option.collectonly:
            return
        if not self.run.histories:
            terminalreporter.line("pgmigrate: no folder of migrations found, nothing was judged", yellow=True)
        if not document["history"] and not document["findings"]:
            self._say_problems(terminalreporter._tw)
            return
        tw = terminalreporter._tw
        terminalreporter.section("PostgreSQL migrations")
        for entry in terminal.shown(document, verbose=self.config.option.verbose > 1):
            write_finding(tw, entry)
            tw.line("")
        for line in terminal.reason_lines(document):
            tw.line(line)
        for line in terminal.not_judged_lines(document["not_judged"]):
            tw.line(f"not judged: {line}", yellow=True)
        for target in self.targets:
            if target.file:
                if target.file not in self.problems:
                    tw.line(f"report: {target.file}")
            else:
                tw.line(target.report.render(document).rstrip("\n"))
        self._say_problems(tw)
        for line in self.run.kept:
            tw.line(f"kept: {line}")
        lost = sum(1 for entry in document["not_judged"] if entry["subject"] == "examination")
        judged = len(document["history"]) - lost
        note = f", {lost} could not be examined" if lost else ""
        tw.line(f"{judged} migrations judged{note}: {terminal.summary_line(document)}")

    def _say_problems(self, tw: TerminalWriter) -> None:
        for problem in self.problems.values():
            tw.line(problem, red=True)

    def pytest_unconfigure(self) -> None:
        """Whatever ended the run, nothing of ours stays running."""
        self.run.close()
