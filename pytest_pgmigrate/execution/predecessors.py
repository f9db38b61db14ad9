"""The state before the first judged migration, as it is kept between runs: what it follows from, and what goes with it.

Two runs of which this says the same would apply the same texts in the same way and write the same rows.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.new_columns import columns_to_leave
from pytest_pgmigrate.model.cluster import SeedReport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_pgmigrate.model.cluster import Filled
    from pytest_pgmigrate.model.migration import Migration
    from pytest_pgmigrate.options import Settings

PACKAGE = Path(__file__).parents[1]
_MAKING = ("engines", "execution", "seeding")
"""The rooms whose code decides what is in the database."""

# Partitions for the coming months, rows by date: a text that asks the clock may give something else tomorrow.
_CLOCK = re.compile(
    r"\b(?:now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\("
    r"|\b(?:current_date|current_time|current_timestamp|localtime|localtimestamp)\b"
    r"|'(?:now|today|yesterday|tomorrow)'",
    re.IGNORECASE,
)
# What libpq sends to every session (https://www.postgresql.org/docs/current/libpq-envars.html).
_ENVIRONMENT = ("PGTZ", "PGDATESTYLE", "PGGEQO")


@dataclass(frozen=True, slots=True)
class Settled:
    """What is known of a filled database beside what is in it: ``reports`` say what could not be filled."""

    reports: tuple[SeedReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Resumed:
    """A database that an earlier run kept, in which ``applied`` are applied."""

    database: str
    applied: tuple[Migration, ...]
    state: Settled


def content(
    before: Sequence[Migration],
    format_name: str,
    settings: Settings,
    seeder: str,
    *,
    today: str = "",
    coming: Sequence[Migration] = (),
) -> str:
    """A digest of what the database at the end of ``before`` follows from, filled; ``seeder`` says by what.

    Of the migrations ``coming`` it follows which columns are left to them. ``today``, the date in UTC unless given, counts
    where a migration asks the clock.
    """
    texts = [chunk.text for migration in before for chunk in migration.up.chunks]
    today = today or datetime.now(timezone.utc).date().isoformat()
    parts = [
        [_migration(migration) for migration in before],
        format_name,
        [settings.seed, settings.rows, settings.lock_timeout, settings.statement_timeout],
        seeder,
        columns_to_leave(before, coming),
        pools_version(),
        _code(),
        platform.python_version_tuple()[:2],
        [os.environ.get(name) for name in _ENVIRONMENT],
        today if any(_CLOCK.search(text) for text in texts) else "",
    ]
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).hexdigest()


def facts(state: Settled) -> dict[str, Any]:
    """What a later run must know beside the database, as JSON values."""
    return asdict(state)


def resumed(filled: Filled, before: Sequence[Migration]) -> Resumed:
    """What an earlier run kept, for the same migrations."""
    reports: list[Mapping[str, Any]] = filled.facts["reports"]
    return Resumed(filled.database, tuple(before), Settled(tuple(SeedReport(**report) for report in reports)))


def pools_version() -> str:
    """The version of Faker, whose words the rows are made of; another one has other words."""
    try:
        return version("faker")
    except PackageNotFoundError:
        return "unknown"


def _migration(migration: Migration) -> list[object]:
    up = migration.up
    name = up.file.rsplit("/", 1)[-1]
    chunks = [[chunk.rule.value, chunk.text] for chunk in up.chunks]
    return [migration.version, migration.key, name, up.checksum, chunks]


@functools.cache
def _code() -> str:
    """Our own code in these rooms, so that no release and no edit takes another one's database for its own."""
    digest = hashlib.sha256()
    for file in sorted(path for room in _MAKING for path in (PACKAGE / room).rglob("*.py")):
        digest.update(file.relative_to(PACKAGE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
