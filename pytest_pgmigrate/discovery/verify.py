"""The user's invariants: ``verify`` directives in migrations, and the files of ``pgmigrate_verify``, one query a file.

A file says from which version on it holds, and until which, by its name (``000012_name.sql``, ``000012-000020_name.sql``)
or its first line (``-- from 000012``, ``-- from 000012 until 000020``); without a word it holds as soon as it can run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pgmigrate.discovery.base import version_key
from pytest_pgmigrate.discovery.script import load_script
from pytest_pgmigrate.model.migration import Invariant, Place

if TYPE_CHECKING:
    from pytest_pgmigrate.model.migration import History, Migration, Script

_NAME = re.compile(r"(?P<first>[vV]?\d+)(?:-(?P<last>[vV]?\d+))?_")
_LINE = re.compile(r"\s*--\s*from\s+(?P<first>[vV]?\d+)(?:\s+until\s+(?P<last>[vV]?\d+))?\s*(?:\n|$)", re.IGNORECASE)


def with_invariants(histories: Sequence[History], paths: Iterable[str], root: Path) -> list[History]:
    """The histories with all that must hold of them. Raises nothing: a file that cannot be used says why itself."""
    files = [file for given in paths for file in _files(root / given)]
    scripts = [load_script(file, root) for file in files]
    found = []
    for history in histories:
        directives = [i for m in history.migrations for i in _of_migration(m)]
        named = [_of_file(script, history, histories) for script in scripts]
        found.append(replace(history, invariants=(*directives, *(i for i in named if i is not None))))
    return found


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(file for file in path.glob("*.sql") if not file.is_dir())


def _of_migration(migration: Migration) -> Iterator[Invariant]:
    """Directives of an up hold from its version on, those of a down of the version that it leads back to."""
    for script, first in ((migration.up, migration.index), (migration.down, migration.index - 1)):
        for directive in script.directives if script is not None else ():
            if directive.word == "verify" and directive.reason_at is not None:
                place = directive.reason_at
                last = None if script is migration.up else first
                label = f"the invariant of line {place.line}"
                yield Invariant(directive.reason.rstrip(";"), label, place, first, last)


def _of_file(script: Script, history: History, histories: Sequence[History]) -> Invariant | None:
    """What one file says of one history; None when it speaks of another one's versions."""
    name = Path(script.path).name
    label = f"the invariant {Path(name).stem}"
    place = Place(script.file)
    defects = [d for d in script.defects if d.kind != "directive"]
    if defects:
        return Invariant("", label, defects[0].place, problem=f"{defects[0].message}; {defects[0].fix}")
    if len(script.statements) != 1:
        count = f"{len(script.statements)} statements" if script.statements else "no statement"
        return Invariant("", label, place, problem=f"holds {count}; write one query a file")
    [statement] = script.statements
    here = Invariant(statement.text, label, statement.place, declared=False)
    said = _LINE.match(script.chunks[0].text) or _NAME.match(name)
    if said is None:
        return here
    first, last = _index(said["first"], history), _index(said["last"], history)
    unknown = next((v for v, at in ((said["first"], first), (said["last"], last)) if v and at is None), None)
    if unknown is None:
        return replace(here, first=first or 0, last=last, declared=True)
    if any(_index(unknown, other) is not None for other in histories):
        return None
    versions = [m.version for m in history.migrations]
    known = f"; its versions are {versions[0]} to {versions[-1]}" if versions else ""
    return replace(here, problem=f"holds from or until version {unknown}, which {history.folder} does not have{known}")


def _index(version: str | None, history: History) -> int | None:
    """The migration with this version, leading zeros aside; None when there is none."""
    wanted = version_key(version) if version else ()
    return next((m.index for m in history.migrations if wanted and version_key(m.version) == wanted), None)
