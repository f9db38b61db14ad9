"""The digests of all tables, each computed again only when its rows may read differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.execution.states.digests import LARGE_OBJECTS, Target, read_digests, read_large_objects
from pytest_pgmigrate.model.state import TableDigest

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.states.catalog import Catalog
    from pytest_pgmigrate.execution.states.model import Relation
    from pytest_pgmigrate.execution.states.wal import Touched


class Tables:
    """Digests by OID, with what they were computed from."""

    def __init__(self) -> None:
        self.digests: dict[int, TableDigest] = {}
        self.targets: dict[int, Target] = {}
        self._failed: dict[int, str] = {}
        self._seen: dict[int, tuple[int, str]] = {}
        self._large: TableDigest | None = None

    def changed(self, catalog: Catalog, touched: Touched | None) -> set[int]:
        """Tables whose digest may be another one now. ``touched`` None: all."""
        return {
            relation.oid
            for relation in catalog.relations.values()
            if relation.holds_rows and (touched is None or self._may_differ(catalog, relation, touched))
        }

    def unwatched(self, catalog: Catalog) -> set[int]:
        """Tables of which WAL tells nothing, or whose text names objects of the catalog."""
        return {
            oid for oid, relation in catalog.relations.items() if relation.holds_rows and _unwatched(catalog, relation)
        }

    def read(self, connection: psycopg.Connection[Any], catalog: Catalog, tables: set[int]) -> None:
        """Compute the digests of these tables, and forget tables that are gone."""
        for known in (self.digests, self.targets, self._failed, self._seen):
            for oid in [oid for oid in known if oid not in catalog.relations]:
                del known[oid]
        targets = {oid: _target(catalog, oid) for oid in tables if catalog.relations[oid].holds_rows}
        found, failed = read_digests(connection, targets)
        self.targets.update(targets)
        for oid in targets:
            self._failed.pop(oid, None)
            before = self.digests.pop(oid, None)
            self._seen[oid] = _seen(catalog, catalog.relations[oid])
            if oid in found:
                self.digests[oid] = before if before is not None and before == found[oid] else found[oid]
        self._failed.update(failed)

    def read_large_objects(self, connection: psycopg.Connection[Any]) -> None:
        """Digest the large objects, where the role may read them."""
        try:
            self._large = read_large_objects(connection)
        except psycopg.errors.InsufficientPrivilege:
            self._large = None

    def by_name(self, catalog: Catalog) -> tuple[dict[str, TableDigest], dict[str, str]]:
        """Digests by table, and the reasons of those that could not be read."""
        names = catalog.relations
        tables = {names[oid].name: digest for oid, digest in self.digests.items()}
        if self._large is not None:
            tables[LARGE_OBJECTS] = self._large
        return tables, {names[oid].name: reason for oid, reason in self._failed.items()}

    def _may_differ(self, catalog: Catalog, relation: Relation, touched: Touched) -> bool:
        oid = relation.oid
        return (
            oid not in self.digests
            or oid in catalog.reread
            or relation.file in touched.files
            or relation.toast in touched.files
            or self._seen[oid] != _seen(catalog, relation)
            or self.targets[oid] != _target(catalog, oid)
            or _unwatched(catalog, relation)
        )


def _seen(catalog: Catalog, relation: Relation) -> tuple[int, str]:
    """What decides, beside the rows themselves, how stored rows read."""
    columns = catalog.columns.get(relation.oid)
    return relation.file, columns.vector if columns else ""


def _target(catalog: Catalog, oid: int) -> Target:
    return Target.of(catalog.relations[oid], catalog.columns.get(oid), catalog.keys.get(oid, ()))


def _unwatched(catalog: Catalog, relation: Relation) -> bool:
    columns = catalog.columns.get(relation.oid)
    return relation.unlogged or (columns is not None and columns.named)
