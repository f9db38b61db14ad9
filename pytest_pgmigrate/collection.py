"""Migration files as pytest items: one per (migration, part), so that -k, --lf, -x, JUnit and xdist just work."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_pgmigrate import catalogue, options, registry
from pytest_pgmigrate.display import Progress, write_problems, write_summary
from pytest_pgmigrate.errors import EngineError, UsageError
from pytest_pgmigrate.model.finding import Part
from pytest_pgmigrate.model.seeding import Factory
from pytest_pgmigrate.nodes import RUN, MigrationFile, PartItem, group_of, judged_files, passed_over
from pytest_pgmigrate.reports import _document
from pytest_pgmigrate.session import Extras, Run

# -- settings and the other doors ---------------------------------------------------------------------------------------


def settings_of(config: pytest.Config) -> options.Settings:
    """The settings in force. Raises pytest.UsageError for a value that cannot be used."""
    flags = {option.dest: config.getoption(option.dest) for option in options.OPTIONS}
    ini = {option.key: config.getini(option.key) for option in options.OPTIONS if option.ini}
    try:
        return options.resolve(flags, ini)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def extras_of(config: pytest.Config, settings: options.Settings) -> Extras:
    """What hooks add."""
    hook = config.hook
    return Extras(
        checks=tuple(c for group in hook.pytest_pgmigrate_checks() for c in group),
        formats=tuple(f for group in hook.pytest_pgmigrate_formats() for f in group),
        reports=tuple(r for group in hook.pytest_pgmigrate_reports() for r in group),
        factories=tuple(_factories(hook)),
        engine=hook.pytest_pgmigrate_make_engine(settings=settings),
        seeder=hook.pytest_pgmigrate_make_seeder(settings=settings),
    )


def _factories(hook: Any) -> Iterator[Factory]:
    """What the conftest files give as factories. Raises UsageError for what was not made by ``seeds``."""
    for group in hook.pytest_pgmigrate_factories():
        for found in group if isinstance(group, (list, tuple)) else [group]:
            if not isinstance(found, Factory):
                raise UsageError(
                    f"pytest_pgmigrate_factories gives {getattr(found, '__name__', repr(found))}, which is no factory: "
                    'put @pytest_pgmigrate.seeds("table") above the function'
                )
            yield found


def _make_run(config: pytest.Config, settings: options.Settings) -> Run:
    """A run with its histories read."""
    try:
        run = Run(settings, config.rootpath, extras_of(config, settings))
        run.discover(folders_of(config, settings))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    return run


def folders_of(config: pytest.Config, settings: options.Settings) -> list[Path]:
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


# -- the plugin -------------------------------------------------------------------------------------------------------------


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
        self._files = {path: r for r in run.histories for path in judged_files(r.history)}

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

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the files of a history that pytest itself passes over, so that they are not passed over in silence."""
        report = yield
        if isinstance(collector, pytest.Directory) and report.passed:
            paths = passed_over(collector, self._files)
            report.result += [MigrationFile.make(collector, path, self._files[str(path)]) for path in paths]
        return report

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

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> object | None:
        """Under ``--dist loadgroup`` a history stays on one worker; any other way to distribute is xdist's own."""
        if config.getoption("dist") != "loadgroup":
            return None
        from pytest_pgmigrate.workers import HistoryScheduling

        return HistoryScheduling(config, log, {path: group_of(run) for path, run in self._files.items()})

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
            write_problems(terminalreporter._tw, self.problems)
            return
        terminalreporter.section("PostgreSQL migrations")
        verbose = self.config.option.verbose
        write_summary(terminalreporter._tw, document, self.targets, self.problems, self.run.kept, verbose=verbose)

    def pytest_unconfigure(self) -> None:
        """Whatever ended the run, nothing of ours stays running."""
        self.run.close()
