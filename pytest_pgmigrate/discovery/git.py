"""What git knows about the past of a folder of migrations."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_pgmigrate.discovery.base import FileName, Format, printable, version_key
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.migration import History, Record, Recorded
from pytest_pgmigrate.registry import load_formats

_TIMEOUT = 60
_DEFAULT_BRANCHES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
# git sets these for hooks; they would turn every question to the repository that the hook runs for.
_LOCAL_VARIABLES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
)


class GitError(Exception):
    """git cannot answer; the message says why and what to do. Never leaves this module."""


@dataclass(frozen=True, slots=True)
class _Repository:
    top: str

    @classmethod
    def holding(cls, folder: Path) -> _Repository:
        return cls(os.fsdecode(_git(str(folder), "rev-parse", "--show-toplevel").removesuffix(b"\n")))

    def git(self, *arguments: str) -> bytes:
        return _git(self.top, *arguments)

    def commit(self, ref: str) -> str | None:
        """The full hash of a ref, None when there is no such commit."""
        if not ref or ref.startswith("-") or "\0" in ref:
            return None
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").decode().strip() or None
        except GitError:
            return None

    def merge_base(self, ref: str) -> str:
        """Where HEAD and the ref parted. Raises GitError when they share no commit that is here."""
        try:
            return self.git("merge-base", ref, "HEAD").decode().split()[0]
        except (GitError, IndexError):
            shallow = self.git("rev-parse", "--is-shallow-repository").strip() == b"true"
            if shallow:
                raise GitError(
                    f"this is a shallow clone without the commit where HEAD and {ref} parted; "
                    "fetch the history (git fetch --unshallow; actions/checkout: fetch-depth: 0)"
                ) from None
            raise GitError(f"HEAD and {ref} have no commit in common") from None

    def changed(self, commit: str) -> set[str]:
        """Paths (relative to the top) whose content in the working tree differs from the commit's, deleted ones too."""
        return _paths(self.git("diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", commit, "--"))

    def untracked(self) -> set[str]:
        return _paths(self.git("ls-files", "--others", "--exclude-standard", "-z"))


def _git(folder: str, *arguments: str) -> bytes:
    environment = {k: v for k, v in os.environ.items() if k not in _LOCAL_VARIABLES}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    command = ["git", "-C", folder, "-c", "core.quotePath=false", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=_TIMEOUT, check=False)
    except FileNotFoundError:
        raise GitError("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} did not answer within {_TIMEOUT} s") from None
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror or error}") from None
    if done.returncode:
        raise GitError(_reason(folder, done.stderr.decode("utf-8", "replace")))
    return done.stdout


def _reason(folder: str, stderr: str) -> str:
    if "dubious ownership" in stderr:
        return (
            f"git refuses {folder} because another user owns it; run: git config --global --add safe.directory {folder}"
        )
    if "not a git repository" in stderr:
        return f"{folder} is not in a git repository"
    lines = [line for line in stderr.splitlines() if line.strip()]
    return f"git says: {lines[0].removeprefix('fatal: ')}" if lines else "git failed without a word"


def _paths(listing: bytes) -> set[str]:
    return {os.fsdecode(path) for path in listing.split(b"\0") if path}


def changed_since(root: Path, ref: str) -> set[Path]:
    """Files added, changed, renamed or deleted since HEAD and the ref parted, uncommitted and untracked ones included.

    Raises UsageError when git, the repository, the ref or the common ancestor is missing.
    """
    try:
        repository = _Repository.holding(root)
        commit = repository.commit(ref)
        if commit is None:
            raise GitError(f"there is no commit {ref!r} here; fetch it, or name a branch or tag that exists")
        changed = repository.changed(repository.merge_base(ref)) | repository.untracked()
    except GitError as error:
        raise UsageError(f"cannot tell what changed since {ref!r}: {error}") from None
    return {Path(repository.top, path) for path in changed}


def record_from_merge_base(
    history: History, root: Path, ref: str | None = None, formats: Iterable[Format] | None = None
) -> Record:
    """The up files as they were where HEAD left the default branch (or ``ref``): what counts as applied already.

    On the default branch itself every commit may be new, so nothing counts as applied, unless committed files were
    edited and not committed again: those are compared with HEAD. Without git the record has the source ``none`` and
    says why. Raises UsageError only for a ``ref`` that cannot be used.
    """
    try:
        repository = _Repository.holding(Path(history.path))
        base, label = _base(repository, ref)
        if base == repository.commit("HEAD") and not _edited(repository, history, base):
            return Record("none", f"HEAD has no commit of its own beyond {label}")
        rows = tuple(_rows(repository, history, base, _parser(history, formats)))
    except GitError as error:
        if ref is not None:
            raise UsageError(f"cannot compare with {ref!r}: {error}") from None
        return Record("none", str(error))
    return Record("git", f"merge-base with {label}, commit {base[:12]}", rows)


def _base(repository: _Repository, ref: str | None) -> tuple[str, str]:
    if repository.commit("HEAD") is None:
        raise GitError("the repository has no commit yet")
    if ref is not None:
        if repository.commit(ref) is None:
            raise GitError(f"there is no commit {ref!r} here; fetch it, or name a branch or tag that exists")
        return repository.merge_base(ref), ref
    for branch in _DEFAULT_BRANCHES:
        if repository.commit(branch):
            return repository.merge_base(branch), branch
    raise GitError(f"no default branch found (looked for {', '.join(_DEFAULT_BRANCHES)})")


def _edited(repository: _Repository, history: History, commit: str) -> bool:
    return bool(_inside(repository, history, repository.changed(commit)) & _listed(repository, history, commit).keys())


def _inside(repository: _Repository, history: History, paths: set[str]) -> set[str]:
    """Of the paths relative to the top, the names of files directly in the history's folder."""
    prefix = _prefix(repository, history)
    names = {path.removeprefix(prefix) for path in paths if path.startswith(prefix)}
    return {name for name in names if "/" not in name}


def _prefix(repository: _Repository, history: History) -> str:
    relative = os.path.relpath(os.path.realpath(history.path), os.path.realpath(repository.top))
    return "" if relative == "." else relative.replace(os.sep, "/") + "/"


def _listed(repository: _Repository, history: History, commit: str) -> dict[str, str]:
    """Name → blob of the files that the commit holds directly in the folder."""
    prefix = _prefix(repository, history)
    listing = repository.git("ls-tree", "-z", commit, "--", *([prefix] if prefix else []))
    found = {}
    for line in filter(None, listing.split(b"\0")):
        mode_type_blob, _, path = line.partition(b"\t")
        _, kind, blob = mode_type_blob.split()
        if kind == b"blob":
            found[os.fsdecode(path).removeprefix(prefix)] = blob.decode()
    return found


ParseName = Callable[[str], FileName | None]


def _parser(history: History, formats: Iterable[Format] | None) -> ParseName:
    known = load_formats().values() if formats is None else formats
    for known_format in known:
        if known_format.name == history.format and hasattr(known_format, "parse_name"):
            parse: ParseName = known_format.parse_name
            return parse
    raise GitError(f"the format {history.format} cannot tell versions from file names")


def _rows(repository: _Repository, history: History, commit: str, parse_name: ParseName) -> Iterator[Recorded]:
    changed = _inside(repository, history, repository.changed(commit))
    present = {os.path.basename(m.up.path): m.up.checksum for m in history.migrations}
    rows = []
    for name, blob in _listed(repository, history, commit).items():
        parsed = parse_name(name)
        if parsed is None or parsed.direction != "up":
            continue
        # git's own comparison knows line-ending conversion and filters: an unchanged file keeps today's checksum.
        checksum = present.get(name) if name not in changed else None
        if checksum is None:
            checksum = hashlib.sha256(repository.git("cat-file", "blob", blob)).hexdigest()
        rows.append(Recorded(parsed.version, printable(name), checksum))
    yield from sorted(rows, key=lambda row: (version_key(row.version), row.filename or ""))
