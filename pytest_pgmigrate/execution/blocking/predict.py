"""Footprint x conflict matrix: what would wait for the locks that are held. Nothing is run here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_pgmigrate.model.watch import Relation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_pgmigrate.execution.blocking.record import Recorded
    from pytest_pgmigrate.model.locks import Mode


@dataclass(frozen=True, slots=True)
class Conflict:
    """The lock a statement wants and the one that is held; ``by_rule``: the wish was derived, not seen."""

    relation: Relation
    wants: Mode
    held: Mode
    by_rule: bool


def conflict_of(recorded: Recorded, held: Mapping[int, Mode], names: Mapping[int, Relation]) -> Conflict | None:
    """The conflict to name when several locks are in the way: seen before derived, own table, tables, the rest."""
    oid = recorded.statement.oid
    found = [
        Conflict(relation_of(relation, names), max(against), held[relation], relation in recorded.footprint.by_rule)
        for relation, modes in recorded.footprint.locks.items()
        if relation in held and (against := [mode for mode in modes if held[relation].conflicts(mode)])
    ]
    return min(
        found,
        key=lambda c: (c.by_rule, c.relation.oid != oid, not c.relation.holds_rows, -c.held, c.relation.oid),
        default=None,
    )


def relation_of(oid: int, names: Mapping[int, Relation]) -> Relation:
    """The relation of an OID; one without a name is called by its OID."""
    return names.get(oid) or Relation(oid, str(oid), "table", str(oid))
