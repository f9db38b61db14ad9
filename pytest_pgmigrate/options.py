"""One table of settings: the flags, the ini keys, the Settings object and the reference page all come from it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pytest_pgmigrate.errors import UsageError

# Kept to the standard library: this module is imported by every plain pytest run.


@dataclass(frozen=True)
class Option:
    """One setting. ``kind``: flag (no value), str, int, seconds, list (repeatable) or choice."""

    name: str
    kind: str
    default: object
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    ini: bool = True
    environment: str | None = None

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--pgmigrate-" + self.name.replace("_", "-")

    @property
    def key(self) -> str:
        """The ini key."""
        return "pgmigrate_" + self.name

    @property
    def dest(self) -> str:
        """Where argparse stores it."""
        return "pgmigrate_" + self.name


OPTIONS: tuple[Option, ...] = (
    Option("path", "list", (), "Folder of migrations; repeatable. Found in the usual places when not given", "DIR"),
    Option(
        "engine",
        "str",
        "auto",
        "Where PostgreSQL comes from: auto, docker, embedded, local or external",
        "NAME",
    ),
    Option("image", "str", None, "Image of the docker engine; postgres:<major> when not given", "IMAGE"),
    Option("pg_version", "int", None, "Required PostgreSQL major version; never another one silently", "MAJOR"),
    Option("containers", "int", 2, "Docker: 2 containers, or 1 that holds both servers", "N", ("1", "2")),
    Option(
        "dsn",
        "str",
        None,
        "Primary of the external engine (libpq URI or key=value); prefixed databases are created and dropped on it",
        "DSN",
        environment="PGMIGRATE_DSN",
    ),
    Option("replica_dsn", "str", None, "Streaming replica of that primary", "DSN", environment="PGMIGRATE_REPLICA_DSN"),
    Option("select", "list", (), "Judge only these codes, code prefixes or slugs; repeatable, commas allowed", "CODE"),
    Option("ignore", "list", (), "Do not judge these codes, code prefixes or slugs; repeatable", "CODE"),
    Option(
        "ignore_data",
        "list",
        (),
        "Data that may differ: schema.table.column or table.column with * for any text, e.g. *.updated_at or"
        " public.audit_log.*; repeatable, commas allowed; what it leaves out is counted in the summary",
        "PATTERN",
    ),
    Option("rows", "int", 20, "Fake rows per table; 0 turns seeding off", "N"),
    Option(
        "later_rows", "int", 3, "Rows written to each table after the up, which the down must keep; 0 turns it off", "N"
    ),
    Option(
        "no_edge_rows",
        "flag",
        False,
        "Do not try migrations on rows at the boundaries of their columns (NULL, '', -1, duplicates and the like)",
    ),
    Option(
        "interruptions",
        "int",
        8,
        "Most statements of an up after which it is cut short and run again; more are sampled evenly",
        "N",
    ),
    Option(
        "crash",
        "flag",
        False,
        "Also crash a copy of the server after each commit inside an up, start it again and run the up again",
    ),
    Option("no_drills", "flag", False, "Run no drills: no interruption, no old application, no reader on the replica"),
    Option("seed", "int", 0, "Seed of the fake data: same seed, same rows", "N"),
    Option(
        "seed_file",
        "str",
        None,
        "TOML file of generators for columns, rows per table, tables to skip; pgmigrate-seed.toml is found by itself",
        "FILE",
    ),
    Option("lock_timeout", "seconds", 30.0, "lock_timeout of the migration session, in seconds", "SECONDS"),
    Option("statement_timeout", "seconds", 60.0, "statement_timeout of the migration session, in seconds", "SECONDS"),
    Option(
        "runner_lock_timeout",
        "seconds",
        None,
        "lock_timeout that your own migration runner sets, in seconds: declared here, no migration is asked to set it",
        "SECONDS",
    ),
    Option(
        "runner_statement_timeout",
        "seconds",
        None,
        "statement_timeout that your own migration runner sets, in seconds",
        "SECONDS",
    ),
    Option(
        "production_rows",
        "str",
        None,
        "CSV of table,rows in production: findings then speak of those rows, and small tables are exempt",
        "FILE",
    ),
    Option(
        "max_blocked_rows",
        "int",
        10_000,
        "A table known to have no more rows than this may be scanned or rewritten while a lock blocks the application",
        "N",
    ),
    Option(
        "max_rows_per_statement",
        "int",
        None,
        "Most rows one statement may write; more is an error where the row counts are known, else a warning",
        "N",
    ),
    Option(
        "queries",
        "list",
        (),
        "File or folder of the application's own SQL, one query a file (or a CSV of pg_stat_statements): tried against the "
        "locks and on the new schema; repeatable",
        "PATH",
    ),
    Option(
        "max_wal_bytes",
        "int",
        None,
        "Most WAL bytes one up may write, on the rows that the tables have in the run: what replicas have to replay",
        "BYTES",
    ),
    Option(
        "max_replica_lag",
        "str",
        None,
        "Wait before each migration and chunk until the replica is no further behind: seconds (10s) or bytes (16MB)",
        "LAG",
    ),
    Option(
        "replica_lag_timeout",
        "seconds",
        60.0,
        "How long to wait for that, in seconds; a replica that is still behind ends the migration's examination",
        "SECONDS",
    ),
    Option(
        "replica_matrix",
        "flag",
        False,
        "Try readers on the replica with max_standby_streaming_delay 0 and -1, each with hot_standby_feedback off and on",
    ),
    Option(
        "lag_drill",
        "seconds",
        None,
        "Try lag guards with replay really held back for so many seconds, more than their threshold",
        "SECONDS",
    ),
    Option(
        "verify",
        "list",
        (),
        "File or folder of invariants, one query a file that must return no rows: run at every version; repeatable",
        "PATH",
    ),
    Option("scale", "flag", False, "Run each up at a second data size too, to tell what grows with the rows"),
    Option(
        "ledger",
        "str",
        None,
        "What production has applied: a CSV file or a read-only DSN of its schema_migrations table",
        "FILE|DSN",
    ),
    Option(
        "since",
        "str",
        None,
        "Judge only migrations added or changed since the merge-base with REF; apply the rest",
        "REF",
    ),
    Option("strict", "flag", False, "Turn warnings into errors, and a refused second run of an up as well"),
    Option(
        "keep",
        "flag",
        False,
        "Leave the servers running after the run and print how to connect; the next run removes them",
    ),
    Option(
        "no_cache",
        "flag",
        False,
        "Neither start from what an earlier run kept of the migrations before the first judged one, nor keep it",
    ),
    Option("cache_size", "int", 2048, "Most disk space that what is kept between runs may take, in MiB", "MIB"),
    Option("report", "list", (), "Write a report: TYPE or TYPE:FILE, e.g. json:report.json; repeatable", "TYPE[:FILE]"),
    Option(
        "list",
        "flag",
        False,
        "Print the histories that would be run and the checks that would judge them, then exit",
        ini=False,
    ),
    Option(
        "explain", "str", None, "Print what a check looks for, a bad and a good example, then exit", "CODE", ini=False
    ),
)


@dataclass(frozen=True)
class Settings:
    """The settings in force, one field an option; see the reference page for what each means."""

    path: tuple[str, ...] = ()
    engine: str = "auto"
    image: str | None = None
    pg_version: int | None = None
    containers: int = 2
    dsn: str | None = None
    replica_dsn: str | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    ignore_data: tuple[str, ...] = ()
    rows: int = 20
    later_rows: int = 3
    no_edge_rows: bool = False
    no_drills: bool = False
    interruptions: int = 8
    crash: bool = False
    seed: int = 0
    seed_file: str | None = None
    lock_timeout: float = 30.0
    statement_timeout: float = 60.0
    runner_lock_timeout: float | None = None
    runner_statement_timeout: float | None = None
    production_rows: str | None = None
    max_blocked_rows: int = 10_000
    max_rows_per_statement: int | None = None
    queries: tuple[str, ...] = ()
    max_wal_bytes: int | None = None
    max_replica_lag: str | None = None
    replica_lag_timeout: float = 60.0
    replica_matrix: bool = False
    lag_drill: float | None = None
    verify: tuple[str, ...] = ()
    scale: bool = False
    ledger: str | None = None
    since: str | None = None
    strict: bool = False
    keep: bool = False
    no_cache: bool = False
    cache_size: int = 2048
    report: tuple[str, ...] = ()
    list: bool = False
    explain: str | None = None


def _number(option: Option, value: object, convert: Callable[[str], float]) -> float:
    try:
        number = convert(str(value).strip())
        if not math.isfinite(number):
            raise ValueError(value)
    except ValueError:
        raise UsageError(f"{option.flag} takes a number, not {value!r}") from None
    if number < 0 or (option.name == "pg_version" and not 14 <= number <= 18):
        accepted = "14 to 18" if option.name == "pg_version" else "0 or more"
        raise UsageError(f"{option.flag} accepts {accepted}, not {value}")
    if option.choices and str(value).strip() not in option.choices:
        raise UsageError(f"{option.flag} accepts {', '.join(option.choices)}, not {value}")
    return number


_LAG = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|B|kB|MB|GB)")
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def lag_limit(text: str) -> tuple[float, float]:
    """``10s``, ``500ms``, ``2min``, ``16MB`` as seconds and bytes that a replica may be behind, one of them infinite.

    Raises UsageError for anything else.
    """
    match = _LAG.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"--pgmigrate-max-replica-lag takes seconds or bytes with a unit (500ms, 10s, 2min, 64kB, 16MB), not {text!r}"
        )
    number = float(match[1]) * _UNITS[match[2]]
    return (math.inf, number) if match[2].endswith("B") else (number, math.inf)


def convert(option: Option, value: object) -> object:
    """One raw value (from the command line, ini file or environment) as the type of its field; UsageError otherwise."""
    if option.kind == "flag":
        if isinstance(value, bool):
            return value
        if str(value).strip().lower() in ("1", "true", "yes", "on"):
            return True
        if str(value).strip().lower() in ("0", "false", "no", "off", ""):
            return False
        raise UsageError(f"{option.key} is true or false, not {value!r}")
    if option.kind == "list":
        values = [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]
        if option.name in ("select", "ignore", "ignore_data"):
            values = [part for item in values for part in str(item).replace(",", " ").split()]
        return tuple(str(item) for item in values if str(item))
    if option.kind == "int":
        return int(_number(option, value, int))
    if option.kind == "seconds":
        return float(_number(option, value, float))
    text = str(value).strip()
    if text and option.name == "max_replica_lag":
        lag_limit(text)
    return text or None


def resolve(flags: Mapping[str, Any], ini: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Settings:
    """Settings by precedence flag > ini key > environment > default. ``flags`` by dest, ``ini`` by key; None = not given.

    Raises UsageError for a value that cannot be used.
    """
    environment = os.environ if environment is None else environment
    chosen: dict[str, object] = {}
    for option in OPTIONS:
        value = flags.get(option.dest)
        if value is None or value == []:
            value = ini.get(option.key) if option.ini else None
        if value in (None, "", []) and option.environment:
            value = environment.get(option.environment)
        if value is None or value == [] or (value == "" and option.kind != "str"):
            chosen[option.name] = option.default
            continue
        converted = convert(option, value)
        chosen[option.name] = option.default if converted is None else converted
    names = {field.name for field in fields(Settings)}
    return Settings(**{name: value for name, value in chosen.items() if name in names})  # type: ignore[arg-type]
