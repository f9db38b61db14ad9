"""One table of settings: the flags, the ini keys, the Settings object and the reference page all come from it."""

from __future__ import annotations

import math
import os
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
    Option("no_drills", "flag", False, "Run no drills: no interruption, no old application, no reader on the replica"),
    Option("seed", "int", 0, "Seed of the fake data: same seed, same rows", "N"),
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
        "File or folder of the application's own SQL, one query a file: tried against the locks; repeatable",
        "PATH",
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
    rows: int = 20
    later_rows: int = 3
    no_edge_rows: bool = False
    no_drills: bool = False
    seed: int = 0
    lock_timeout: float = 30.0
    statement_timeout: float = 60.0
    runner_lock_timeout: float | None = None
    runner_statement_timeout: float | None = None
    production_rows: str | None = None
    max_blocked_rows: int = 10_000
    max_rows_per_statement: int | None = None
    queries: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    scale: bool = False
    ledger: str | None = None
    since: str | None = None
    strict: bool = False
    keep: bool = False
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
        if option.name in ("select", "ignore"):
            values = [part for item in values for part in str(item).replace(",", " ").split()]
        return tuple(str(item) for item in values if str(item))
    if option.kind == "int":
        return int(_number(option, value, int))
    if option.kind == "seconds":
        return float(_number(option, value, float))
    text = str(value).strip()
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
