"""Which file is which catalog's, and whether a catalog has another one by now (VACUUM FULL)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.states.line import array

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.catalog import Catalog
    from pytest_pgmigrate.execution.states.line import Answer, Line
    from pytest_pgmigrate.execution.states.mirror import Blocks
    from pytest_pgmigrate.execution.states.wal import Touched

_FILES = b"""
    select c.relname::text, pg_relation_filenode(c.oid)::int8, c.relisshared
    from pg_class c where c.relnamespace in (11, 99) and c.relkind in ('r', 't') and c.oid < 16384
"""
# Which of these files are catalogs': those of initdb have small OIDs.
_BELONG = b"select f from unnest($1::int8[]) f where pg_filenode_relation(0, f::oid)::oid < 16384"


class Files:
    """Catalogs by their relfilenodes, and the files that are known to be the user's."""

    def __init__(self) -> None:
        self._names: dict[tuple[bool, int], str] = {}
        self._users: set[int] = set()
        """Files that belong, or belonged, to relations of the user's."""

    def read(self, line: Line) -> None:
        """Read which file is which catalog's."""
        self._names = {(shared, file): name for name, file, shared in line.ask(_FILES).rows() if file}

    def written(self, touched: Touched | None) -> tuple[Mapping[str, Blocks | None], frozenset[int]]:
        """Catalogs written, with their blocks (None: any), and files that are no catalog's and were not seen before."""
        if touched is None:
            return dict.fromkeys(self._names.values()), frozenset()
        names: dict[str, Blocks | None] = {}
        unknown = set()
        for shared, files in ((False, touched.files), (True, touched.shared)):
            for file, blocks in files.items():
                name = self._names.get((shared, file))
                if name is not None:
                    names[name] = blocks
                elif not shared and file not in self._users:
                    unknown.add(file)
        return names, frozenset(unknown)

    def ask(self, line: Line, unknown: frozenset[int]) -> Answer | None:
        """Ask whether one of these is a catalog's; nearly always it is one of the user's, or gone again."""
        return line.ask(_BELONG, array(unknown)) if unknown else None

    def moved(self, line: Line, catalog: Catalog, unknown: frozenset[int], asked: Answer | None) -> bool:
        """Whether a catalog has another file now; ``asked``: the answer about those unknown."""
        if asked is None:
            return False
        self._users.update(f for relation in catalog.relations.values() for f in (relation.file, relation.toast))
        self._users.update(sequence.file for sequence in catalog.sequences.values())
        if unknown <= self._users or not asked.rows():
            return False
        self.read(line)
        return True
