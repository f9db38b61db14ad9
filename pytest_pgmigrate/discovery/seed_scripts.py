"""SQL that a user wants run when tables are filled: ``seed/000012.before.sql``, ``seed/after.sql``. No migrations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pytest_pgmigrate.discovery.base import version_key
from pytest_pgmigrate.discovery.script import load_script
from pytest_pgmigrate.model.seeding import SeedScript

FOLDER = "seed"

_NAME = re.compile(r"(?:([vV]?[0-9][0-9.]*)\.)?(before|after)\.sql")


def find_seed_scripts(folder: Path, root: Path) -> tuple[SeedScript, ...]:
    """The scripts of ``seed/`` in the folder of migrations, or beside it, in the order of their versions.

    Files of other names are passed over.
    """
    return tuple(sorted(_scripts(folder, root), key=lambda found: (version_key(found.version), found.script.file)))


def _scripts(folder: Path, root: Path) -> Iterator[SeedScript]:
    for place in (folder / FOLDER, folder.parent / FOLDER):
        if not place.is_dir():
            continue
        for path in sorted(place.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match:
                yield SeedScript(load_script(path, root), match[2], match[1] or "")
