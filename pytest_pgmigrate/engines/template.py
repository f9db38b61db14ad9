"""What is kept between runs: an initialised data directory per build of PostgreSQL, and readable copies of binaries.

One directory, ``cache_directory()``, 30 MB per build and what ``filled.py`` keeps there; it is the only thing that stays on
disk and may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import stat
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pgmigrate.engines.names import PREFIX
from pytest_pgmigrate.engines.pack import pack
from pytest_pgmigrate.engines.rundir import take_lock
from pytest_pgmigrate.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_pgmigrate.engines.accounts import Account
    from pytest_pgmigrate.engines.binaries import Binaries

FORMAT = "3"
KEPT_DAYS = 30
"""A template that nobody used for so long is removed."""

HBA = "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
"""Sockets lie in a directory that only the servers' account may enter; over TCP a password is asked for."""


def cache_directory() -> Path:
    """Where templates are kept: ``PGMIGRATE_CACHE_DIR``, else the user's cache, for root ``/var/tmp``.

    Root's home is closed to the account that the servers run as, so its cache cannot lie there.
    """
    if chosen := os.environ.get("PGMIGRATE_CACHE_DIR"):
        return Path(chosen).absolute() / f"pytest-{PREFIX}-{os.geteuid()}"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    if os.geteuid() != 0 and home.is_absolute() and os.access(home if home.exists() else home.parent, os.W_OK):
        return home / f"pytest-{PREFIX}"
    return Path("/var/tmp") / f"pytest-{PREFIX}-{os.geteuid()}"  # noqa: S108 - ownership is checked before use


def template_file(binaries: Binaries, account: Account, scratch: Path, settings: str) -> Path:
    """An initialised, never started data directory for these binaries and settings, packed; made when there is none.

    ``scratch`` is a directory of the run, where initdb works: if we are killed, it goes with the run.
    Raises EngineError with initdb's own words.
    """
    final = ready_cache() / f"template-{build_key(binaries, account, settings)}"
    if final.exists():
        _mark_used(final)
        return final
    with _building(final):
        if not final.exists():
            built = scratch / "template"
            _initdb(binaries, account, built)
            with open(built / "postgresql.conf", "a", encoding="utf-8") as file:
                file.write(settings)
            (built / "pg_hba.conf").write_text(HBA, encoding="utf-8")
            try:
                pack(built, partial_of(final))
                os.rename(partial_of(final), final)
            except OSError as error:
                raise EngineError(f"the template could not be written to {final.parent}: {error}") from error
            finally:
                shutil.rmtree(built, ignore_errors=True)
    return final


def reachable(binaries: Binaries, account: Account) -> Binaries:
    """The binaries, or a copy of them where the servers' account may read (a venv below root's home is closed to it)."""
    if not account.dropped or _runs(binaries.bindir, account):
        return binaries
    if not binaries.roots:
        raise EngineError(f"{binaries.bindir} cannot be executed by user {account.uid}, which the servers run as")
    stamp = os.stat(binaries.bindir / "postgres").st_mtime_ns
    name = hashlib.sha256(f"{binaries.bindir} {binaries.version} {stamp}".encode()).hexdigest()[:16]
    final = ready_cache() / f"binaries-{name}"
    if not final.exists():
        with _building(final):
            if not final.exists():
                _copy_roots(binaries, partial_of(final))
                os.rename(partial_of(final), final)
    bindir = final / binaries.bindir.relative_to(binaries.roots[0].parent)
    if not _runs(bindir, account):
        raise EngineError(f"{binaries.bindir} was copied to {final}, but user {account.uid} cannot run it there")
    return replace(binaries, bindir=bindir)


def sweep_partial() -> None:
    """Remove half-built entries whose builder is dead."""
    cache = cache_directory()
    with contextlib.suppress(OSError):
        for partial in cache.glob("*.partial"):
            lock = lock_of(cache / partial.name.removesuffix(".partial"))
            with contextlib.suppress(OSError):  # being built right now
                descriptor = take_lock(lock, wait=False)
                try:
                    discard(partial)
                    lock.unlink()
                finally:
                    os.close(descriptor)


def _mark_used(entry: Path) -> None:
    """Say that an entry is in use, and remove those that no run has used for a long time."""
    with contextlib.suppress(OSError):
        os.utime(entry)
        for other in entry.parent.glob("template-*"):
            if time.time() - other.stat().st_mtime > KEPT_DAYS * 86400:
                other.unlink()


def build_key(binaries: Binaries, account: Account, settings: str) -> str:
    """Names a build of PostgreSQL on this machine, as ``account`` runs it with these settings."""
    parts = [
        FORMAT,
        binaries.version,
        str(binaries.bindir),
        os.stat(binaries.bindir / "postgres").st_mtime_ns,
        os.stat(binaries.bindir / "initdb").st_mtime_ns,
        platform.libc_ver() if sys.platform == "linux" else platform.release(),
        account.uid,
        settings,
        HBA,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def ready_cache() -> Path:
    """The cache, made when it is not there. Raises EngineError when somebody else may write to it."""
    cache = cache_directory()
    try:
        cache.mkdir(mode=0o755, parents=True, exist_ok=True)
        status = os.lstat(cache)
    except OSError as error:
        raise EngineError(f"the cache {cache} cannot be made: {error}; set PGMIGRATE_CACHE_DIR") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise EngineError(f"the cache {cache} is not a directory that only we may write to; set PGMIGRATE_CACHE_DIR")
    return cache


@contextlib.contextmanager
def _building(final: Path) -> Iterator[None]:
    """One builder at a time; what a dead one left is removed. Two runs that need the same entry build it once."""
    descriptor = take_lock(lock_of(final))
    try:
        discard(partial_of(final))
        yield
    finally:
        os.close(descriptor)


def discard(path: Path) -> None:
    """Remove a file or a directory, if it is there."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink()


def lock_of(final: Path) -> Path:
    """The lock of whoever writes an entry."""
    return final.with_name(final.name + ".lock")


def partial_of(final: Path) -> Path:
    """Where an entry lies while it is being written."""
    return final.with_name(final.name + ".partial")


def _initdb(binaries: Binaries, account: Account, target: Path) -> None:
    """Run initdb with an encoding and locale of our own: it would else take them from the caller's environment."""
    locales = [["--locale=C.UTF-8"], ["--no-locale"]]
    if binaries.version[0] >= 17:
        locales.insert(0, ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"])
    said = ""
    for locale in locales:
        shutil.rmtree(target, ignore_errors=True)
        command: list[str | Path] = [
            binaries.bindir / "initdb",
            "-D",
            target,
            "-U",
            "postgres",
            "-N",
            "-A",
            "trust",
            "-E",
            "UTF8",
            *locale,
        ]
        result = account.run(command)
        if result.returncode == 0:
            return
        said = (result.stderr or result.stdout).strip()
    if "could not look up effective user" in said:
        said += "\nThis user has no entry in /etc/passwd, which initdb needs: run as a user that has one."
    raise EngineError(f"initdb of {binaries.text} failed: {said[-1500:]}")


def _runs(bindir: Path, account: Account) -> bool:
    if _open_to_all(bindir / "postgres"):
        return True
    try:
        return account.run([bindir / "postgres", "--version"], timeout=20).returncode == 0
    except EngineError:
        return False


def _copy_roots(binaries: Binaries, target: Path) -> None:
    skip = shutil.ignore_patterns("include", "*.py", "__pycache__")
    target.mkdir(mode=0o755)
    for root in binaries.roots:
        shutil.copytree(root, target / root.name, ignore=skip, symlinks=True)
    # Where the source was closed to others (umask 077), the copy must not be.
    for path in [target, *target.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))


def _open_to_all(program: Path) -> bool:
    """Whether the modes alone say that anybody may run it, which spares running it."""
    try:
        return bool(program.stat().st_mode & 0o001) and all(p.stat().st_mode & 0o001 for p in program.parents)
    except OSError:
        return False
