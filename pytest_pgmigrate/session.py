"""The recipe: discover → provision → seed → run and watch → judge → report. The one module that knows all six rooms."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate import outcome, registry
from pytest_pgmigrate.checks import _judge as judge
from pytest_pgmigrate.errors import EngineError, PgmigrateError
from pytest_pgmigrate.histories import HistoryRun
from pytest_pgmigrate.model.cluster import Want
from pytest_pgmigrate.model.finding import Finding, NotJudged, Part, Severity
from pytest_pgmigrate.model.ignoring import Ignoring
from pytest_pgmigrate.model.migration import History, Migration
from pytest_pgmigrate.reports._document import Document, build
from pytest_pgmigrate.reports._ignored import ignored_entries

if TYPE_CHECKING:
    from pytest_pgmigrate.engines.auto import Choice
    from pytest_pgmigrate.execution.database import Watch
    from pytest_pgmigrate.execution.examination import Examination
    from pytest_pgmigrate.execution.predecessors import Resumed
    from pytest_pgmigrate.model.cluster import Cluster, Engine, Seeder
    from pytest_pgmigrate.model.evidence import MigrationEvidence
    from pytest_pgmigrate.model.seeding import Factory
    from pytest_pgmigrate.options import Settings
    from pytest_pgmigrate.seeding.hooks import Wanted


@dataclass(frozen=True, slots=True)
class Extras:
    """What conftest.py files and other plugins add through hooks."""

    checks: tuple[registry.Check, ...] = ()
    formats: tuple[Any, ...] = ()
    reports: tuple[Any, ...] = ()
    factories: tuple[Factory, ...] = ()
    engine: Engine | None = None
    seeder: Seeder | None = None


class Run:
    """One pytest run: finds the histories at once, starts servers when the first item needs them."""

    def __init__(self, settings: Settings, root: Path, extras: Extras) -> None:
        self.settings = settings
        self.root = root
        self.extras = extras
        self.checks = registry.choose(registry.load_checks(extras.checks), settings)
        self.all_checks = not settings.select and not settings.ignore
        self.timings: dict[str, float] = {}
        self.histories: list[HistoryRun] = []
        self.choice: Choice | None = None
        self._cluster: Cluster | None = None
        self._broken = ""
        self._told: set[str] = set()
        self.kept: tuple[str, ...] = ()
        self.resumed: tuple[str, str] | None = None
        """First and last version that came from the cache, applied and filled."""

        self.production_rows: Mapping[str, int] = {}
        # A pattern that cannot be used is said before any server starts.
        Ignoring.parse(settings.ignore_data)

    # -- room 1: discover -------------------------------------------------------------------------------------------

    def discover(self, folders: list[Path]) -> None:
        """Read the histories of these folders, or of those found in the usual places when there are none.

        Raises UsageError for a folder, ledger or git reference that cannot be used.
        """
        from pytest_pgmigrate.discovery import discover
        from pytest_pgmigrate.discovery.production_rows import read_production_rows
        from pytest_pgmigrate.discovery.verify import with_invariants

        if self.settings.production_rows is not None:
            self.production_rows = read_production_rows(self.root / self.settings.production_rows)
        with self._timed("discover"):
            formats = registry.load_formats(self.extras.formats)
            found = discover(self.root, folders, formats, since=self.settings.since, ledger=self.settings.ledger)
            found = with_invariants(found, self.settings.verify, self.root)
        for history in found:
            with self._timed("judge"):
                findings = judge.judge_history(self.checks, history, self.settings)
            self.histories.append(HistoryRun(history, findings, wanted_rows=self.wanted_of(history)))

    def wanted_of(self, history: History) -> Wanted:
        """The seed file, scripts and factories for one history. Raises UsageError for a file that cannot be used."""
        from pytest_pgmigrate.discovery.seed_scripts import find_seed_scripts
        from pytest_pgmigrate.seeding.config import find_seed_file, read_seed_file
        from pytest_pgmigrate.seeding.hooks import Wanted
        from pytest_pgmigrate.seeding.wishes import Rules

        folder = Path(history.path)
        file = find_seed_file(self.settings.seed_file, self.root, folder)
        return Wanted(
            read_seed_file(file, self.root) if file is not None else Rules(),
            find_seed_scripts(folder, self.root),
            self.extras.factories,
            tuple(migration.version for migration in history.migrations),
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that a selected check can fail or warn about, in order."""
        alive = {c.part for c in self.checks if c.severity is not Severity.INFO or c.strict is not None}
        return tuple(part for part in Part if part in alive)

    # -- room 2: provision ------------------------------------------------------------------------------------------

    def want(self) -> Want:
        """What is asked of the engine."""
        s = self.settings
        return Want(
            major=s.pg_version,
            image=s.image,
            dsn=s.dsn,
            replica_dsn=s.replica_dsn,
            containers=s.containers,
            pull=s.engine == "docker",
        )

    def choose_engine(self) -> Choice:
        """Which engine it will be, found without starting anything. Raises EngineError when there is none."""
        if self.choice is None:
            from pytest_pgmigrate.engines.auto import choose

            engines = registry.load_engines()
            name = self.settings.engine
            if self.extras.engine is not None:
                engines, name = {self.extras.engine.name: self.extras.engine}, self.extras.engine.name
            self.choice = choose(self.want(), engines, name)
        return self.choice

    def start(self, progress: Callable[[str], None]) -> Cluster:
        """The cluster, started on first use. Raises EngineError; a second call after a failure raises at once."""
        if self._cluster is not None:
            return self._cluster
        if self._broken:
            raise EngineError(self._broken)
        with self._timed("provision"):
            try:
                choice = self.choose_engine()
                progress(f"starting PostgreSQL with a replica ({choice.engine.name})")
                choice.engine.sweep()
                self._cluster = choice.engine.start(self._want_kept(), progress)
            except EngineError as error:
                self._broken = str(error)
                raise
        return self._cluster

    # -- what earlier runs kept -------------------------------------------------------------------------------------

    def _want_kept(self) -> Want:
        """What is asked of the engine, with the state that an earlier run may have kept."""
        from pytest_pgmigrate.kept import content, first_judged

        off = self.settings.no_cache or not self.settings.cache_size
        if off or first_judged(self.histories) is None:
            return self.want()
        seeder = self._seeder(self.histories[0]) if len(self.histories) == 1 else None
        wanted = content(self.histories, self.settings, seeder, own=self.extras.seeder is None)
        return replace(self.want(), content=wanted, cache_bytes=self.settings.cache_size << 20)

    def _resume(self, run: HistoryRun, progress: Callable[[str], None]) -> None:
        """Start from what an earlier run kept, when it kept just this."""
        if run.position > 0 or run.examination is not None or self._broken:
            return
        from pytest_pgmigrate.execution.predecessors import resumed
        from pytest_pgmigrate.kept import first_judged
        from pytest_pgmigrate.model.evidence import MigrationEvidence

        found = first_judged(self.histories)
        if found is None:
            return
        try:
            filled = getattr(self.start(progress), "filled", None)
        except EngineError:
            return  # said when the first migration asks for the servers
        if filled is not None:
            before = run.history.migrations[: found[1].index]
            self._open(run, progress, resumed(filled, before))
            run.position = found[1].index
            run.evidence.update({migration.key: MigrationEvidence(migration, "applied") for migration in before})
            self.resumed = (before[0].version, before[-1].version)

    def _settle(self, run: HistoryRun, migration: Migration, examination: Examination) -> None:
        """Bring the state before the first judged migration about, and keep it for later runs."""
        if run.settled or self.resumed:
            return
        from pytest_pgmigrate.kept import first_judged, keep

        if first_judged(self.histories) != (run, migration):
            return
        with self._timed("run"):
            state = examination.settle(migration)
        if state is not None:
            with self._timed("cache"):
                keep(run, migration, examination, state)

    # -- rooms 3 to 5: seed, run and watch, judge -------------------------------------------------------------------

    def select(self, run: HistoryRun, migration: Migration) -> None:
        """This migration is judged in this run; the others are only applied."""
        run.wanted.add(migration.key)
        run.last_wanted = max(run.last_wanted, migration.index)

    def result(
        self, run: HistoryRun, migration: Migration, part: Part, progress: Callable[[str], None]
    ) -> judge.Verdict:
        """How a part came out; the first call for a migration examines it.

        Raises PgmigrateError when the examination could not go on: once for one cause, later parts are skipped.
        """
        if part is Part.HISTORY:
            found = tuple(f for f in run.findings if f.migration == migration.key)
            verdict = judge.verdict(part, None, found)
        else:
            self._advance(run, migration, progress)
            verdict = self._verdict(run, migration, part)
        run.verdicts[migration.key, part] = verdict
        if verdict.outcome == "failed" and migration.key in run.lost and part is not Part.HISTORY:
            raise PgmigrateError(verdict.reason)
        return verdict

    def _verdict(self, run: HistoryRun, migration: Migration, part: Part) -> judge.Verdict:
        reason = run.lost.get(migration.key)
        if reason is None:
            return judge.verdict(part, run.evidence[migration.key], run.judged[migration.key])
        if reason in self._told:
            return judge.Verdict("skipped", f"not examined: {reason.splitlines()[0]}", ())
        self._told.add(reason)
        return judge.Verdict("failed", reason, ())

    def file_result(self, run: HistoryRun, file: str) -> judge.Verdict:
        """How the history part came out for a file that belongs to no migration."""
        found = tuple(f for f in run.findings if f.place.file == file)
        return judge.verdict(Part.HISTORY, None, found)

    def _advance(self, run: HistoryRun, target: Migration, progress: Callable[[str], None]) -> None:
        if target.key in run.judged or target.key in run.lost:
            return
        migrations = run.history.migrations
        self._resume(run, progress)
        while run.position <= target.index:
            migration = migrations[run.position]
            try:
                evidence = self._examine(run, migration, progress)
            except PgmigrateError as error:
                self._lose(run, migration, error)
                continue
            run.position += 1
            run.evidence[migration.key] = evidence
            with self._timed("judge"):
                run.judged[migration.key] = judge.judge_migration(
                    self.checks,
                    evidence,
                    self.settings,
                    all_selected=self.all_checks,
                    earlier=run.findings,
                    before=run.said,
                )
            if migration.key in run.wanted:
                run.said += run.judged[migration.key]
        if target.index >= run.last_wanted:
            self._finish(run)

    def _examine(self, run: HistoryRun, migration: Migration, progress: Callable[[str], None]) -> MigrationEvidence:
        examination = run.examination or self._open(run, progress)
        wanted = migration.key in run.wanted
        progress(f"{'examining' if wanted else 'applying'} {migration.key}")
        self._settle(run, migration, examination)
        with self._timed("run"):
            if not wanted:
                return examination.apply(migration)
            run.settled = True
            return replace(examination.examine(migration), production_rows=self.production_rows)

    def _lose(self, run: HistoryRun, migration: Migration, error: PgmigrateError) -> None:
        """Go on without a migration that took our connections or the server with it: the next one starts afresh."""
        reason, file = str(error), migration.up.file
        # Without a server it is no migration's fault, and one cause for all of them.
        named = isinstance(error, EngineError) or file in reason
        run.lost[migration.key] = reason if named else f"{file} could not be examined: {reason}"
        run.position = migration.index + 1
        self._finish(run)
        if self._cluster is not None and not _answers(self._cluster):
            _quietly(self._cluster.close)
            self._cluster = None

    def _finish(self, run: HistoryRun) -> None:
        """Drop a history's databases as soon as nothing more is asked of it; keep what the report needs."""
        examination, run.examination = run.examination, None
        if examination is None:
            return
        run.unfilled = examination.unfilled()
        run.seed_notes = examination.seed_notes()
        self.timings["seed"] = self.timings.get("seed", 0.0) + examination.seed_seconds
        self.timings["run"] -= examination.seed_seconds
        if not self.settings.keep:
            with self._timed("close"):
                _quietly(examination.close)

    def _open(self, run: HistoryRun, progress: Callable[[str], None], resumed: Resumed | None = None) -> Examination:
        from pytest_pgmigrate.execution.examination import Examination

        cluster, seeder, watch = self.start(progress), self._seeder(run), self._watch()
        examination = Examination(cluster, run.history, self.settings, seeder, watch, self.parts, resumed)
        run.examination = examination
        # Only after an earlier examination was lost is there anything to make up for.
        for earlier in run.history.migrations[: run.position]:
            seen = run.evidence.get(earlier.key)
            if seen is not None and seen.status in ("applied", "examined"):
                examination.apply(earlier)
            else:
                examination.broken.add(earlier)
        return examination

    def _watch(self) -> Watch:
        """Statements are looked at one by one only for checks that judge what is seen, or which rows were read."""
        from pytest_pgmigrate.execution.blocking import read_queries
        from pytest_pgmigrate.execution.database import Watch

        found = read_queries(self.root / path for path in self.settings.queries)
        queries = tuple(replace(query, file=_relative(query.file, self.root)) for query in found)
        locks = Part.LOCKS in self.parts
        reading = {Part.DATA, Part.INTERRUPT, Part.COMPAT, Part.REPLICA} & set(self.parts)
        rows = bool(self.settings.rows or self.extras.seeder) and bool(reading)
        return Watch(locks or rows, locks, queries)

    def _seeder(self, run: HistoryRun) -> Seeder | None:
        if self.extras.seeder is not None:
            return self.extras.seeder
        if self.settings.rows == 0:
            return None
        if run.seeder is None:
            from pytest_pgmigrate.seeding import FakeSeeder

            run.seeder = FakeSeeder(seed=self.settings.seed, rows=self.settings.rows, wanted=run.wanted_rows)
        return run.seeder

    # -- room 6: report ---------------------------------------------------------------------------------------------

    def not_judged(self) -> tuple[NotJudged, ...]:
        """Everything that could not be looked at."""
        return outcome.not_judged(self.histories, self._cluster)

    def findings(self) -> tuple[Finding, ...]:
        """All findings about what was judged, in history order, silenced ones included."""
        return outcome.findings(self.histories, self.parts)

    def document(self) -> Document:
        """The run as the JSON report has it: what reports are made from, and what xdist workers send home."""
        return build(
            engine=self._cluster.engine if self._cluster else "",
            postgresql=".".join(map(str, self._cluster.version)) if self._cluster else "",
            history=outcome.entries(self.histories),
            findings=self.findings(),
            not_judged=self.not_judged(),
            timings=self.timings,
            seed=self.settings.seed,
            rows=self.settings.rows,
            faker=outcome.pools_version(self.settings) if self.extras.seeder is None else None,
            from_cache=self.resumed,
            ignored_data=ignored_entries(self.settings.ignore_data, outcome.evidence(self.histories)),
        )

    @property
    def cluster(self) -> Cluster | None:
        """The cluster, if one was started."""
        return self._cluster

    def close(self) -> None:
        """Drop the databases and stop the servers. Idempotent."""
        with self._timed("close"):
            for run in self.histories:
                self._finish(run)
            if self._cluster is not None and self.settings.keep:
                self.kept = self._cluster.keep()
            elif self._cluster is not None:
                _quietly(self._cluster.close)
            self._cluster = None

    @contextmanager
    def _timed(self, room: str) -> Iterator[None]:
        clock = time.perf_counter()
        try:
            yield
        finally:
            self.timings[room] = self.timings.get(room, 0.0) + time.perf_counter() - clock


def _relative(file: str, root: Path) -> str:
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else file


def _answers(cluster: Cluster) -> bool:
    """Whether the primary still lets us in: a migration may have stopped it, or locked our role."""
    try:
        cluster.connect(cluster.maintenance_database).close()
    except Exception:
        return False
    return True


def _quietly(close: Callable[[], None]) -> None:
    """Closing must not turn a verdict into a traceback: whatever is left is swept by the next run."""
    try:
        close()
    except (PgmigrateError, OSError):
        return
    except Exception as error:
        # psycopg's errors without importing psycopg here: a server that died took its databases with it.
        if type(error).__module__.split(".")[0] != "psycopg":
            raise
