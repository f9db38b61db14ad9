"""The convention ``{version}_{description}.{up|down}.sql``, as golang-migrate reads it.

Each file is one simple query; several statements form an implicit transaction unless the file has its own BEGIN and
COMMIT. Beyond golang-migrate a version may be textual: ``v001``, ``v1.2``.
"""

from __future__ import annotations

import re
from pathlib import Path

from pytest_pgmigrate.discovery.base import FileName, printable, relative_name, version_key
from pytest_pgmigrate.discovery.pairing import NamedFile, pair_files
from pytest_pgmigrate.discovery.script import load_script, load_stray
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.migration import FileEntry, History, Migration

_NAME = re.compile(r"([0-9]+|[vV][0-9][0-9.]*)_(.*)\.(up|down)\.sql")


class GolangMigrate:
    """Reads folders of ``{version}_{description}.{up|down}.sql`` files."""

    name = "golang-migrate"
    expects = "{version}_{description}.up.sql and .down.sql, version in digits or like v001"

    def parse_name(self, filename: str) -> FileName | None:
        """What a file name says, None when it follows no convention."""
        match = _NAME.fullmatch(filename)
        return FileName(match[1], match[2], match[3]) if match else None

    def detect(self, folder: Path) -> bool:
        """Whether any file of the folder is named by the convention."""
        try:
            return any(_visible(path.name) and _NAME.fullmatch(path.name) for path in folder.iterdir())
        except OSError:
            return False

    def load(self, folder: Path, root: Path) -> History:
        """Read the folder, migrations in numeric order of their versions, then by name.

        Raises UsageError when the folder itself cannot be listed.
        """
        files, unknown = self._list(folder)
        pairs, orphans = pair_files(files)
        migrations = tuple(
            Migration(
                version=up.parsed.version,
                name=printable(up.parsed.name),
                up=load_script(up.path, root),
                down=load_script(down.path, root) if down else None,
                index=index,
            )
            for index, (up, down) in enumerate(pairs)
        )
        entries = [_entry(file, root, orphan=file in orphans) for file in files]
        entries += [FileEntry(relative_name(path, root), str(path), "unknown", None, None) for path in unknown]
        strays = (load_stray(path, root) for path in unknown)
        return History(
            folder=relative_name(folder, root),
            path=str(folder),
            format=self.name,
            migrations=migrations,
            files=tuple(sorted(entries, key=lambda entry: entry.file)),
            # The strays too: where they stand their directives are found, e.g. ignore-file[PMG109].
            orphans=(*(load_script(file.path, root) for file in orphans), *(stray for stray in strays if stray)),
        )

    def _list(self, folder: Path) -> tuple[list[NamedFile], list[Path]]:
        try:
            paths = sorted(path for path in folder.iterdir() if _visible(path.name))
        except OSError as error:
            raise UsageError(f"the folder {folder} cannot be listed: {error.strerror or error}") from None
        files, unknown = [], []
        for path in paths:
            parsed = self.parse_name(path.name)
            if parsed is not None:
                files.append(NamedFile(path, parsed))
            elif path.name.lower().endswith(".sql"):
                unknown.append(path)
        return sorted(files, key=_order), unknown


def _visible(name: str) -> bool:
    return not name.startswith(".")


def _order(file: NamedFile) -> tuple[tuple[int, ...], str, str]:
    return version_key(file.parsed.version), file.parsed.name, file.path.name


def _entry(file: NamedFile, root: Path, *, orphan: bool) -> FileEntry:
    role = "orphan-down" if orphan else file.parsed.direction
    return FileEntry(
        relative_name(file.path, root), str(file.path), role, file.parsed.version, printable(file.parsed.name)
    )


FORMAT = GolangMigrate()
