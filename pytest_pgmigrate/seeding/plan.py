"""The order in which tables are filled: parents before children."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_pgmigrate.seeding.copies import source_of
from pytest_pgmigrate.seeding.shape import ForeignKey, Table, TableName


@dataclass(frozen=True, slots=True)
class Step:
    """Tables to insert into together: one, or several that form a cycle of NOT NULL foreign keys.

    ``later`` are (table, foreign key) pairs written as NULL first and updated when every table has its rows.
    """

    tables: tuple[int, ...]
    later: tuple[tuple[int, ForeignKey], ...] = ()


def components(graph: Mapping[int, Iterable[int]]) -> list[list[int]]:
    """Strongly connected components, each after those it points to (Tarjan's algorithm, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[list[int]] = []
    for root in graph:
        if root in index:
            continue
        work = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, edges = work[-1]
            target = next((edge for edge in edges if edge not in index or edge in on_stack), None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    found.append(_pop_component(node, stack, on_stack))
            elif target in index:
                low[node] = min(low[node], index[target])
            else:
                index[target] = low[target] = len(index)
                stack.append(target)
                on_stack.add(target)
                work.append((target, iter(graph[target])))
    return found


def _pop_component(root: int, stack: list[int], on_stack: set[int]) -> list[int]:
    component = []
    while True:
        node = stack.pop()
        on_stack.discard(node)
        component.append(node)
        if node == root:
            return component


def order(tables: Mapping[int, Table]) -> list[Step]:
    """Steps in foreign-key order.

    Inside a cycle the table whose foreign keys into the cycle are all nullable goes first; where no table is such,
    the tables are inserted by one statement, for referential integrity is checked at the end of a statement
    (PostgreSQL manual, CREATE TABLE, "Non-deferrable constraints").
    """
    graph = _graph(tables)
    together = [set(component) for component in components(graph)]
    # An implied reference is never worth a cycle.
    graph = _graph(tables, together)
    return [step for component in components(graph) for step in _break(component, tables)]


def _graph(tables: Mapping[int, Table], apart: Sequence[set[int]] = ()) -> dict[int, list[int]]:
    ranked = sorted(tables, key=lambda oid: (tables[oid].ident.schema, tables[oid].ident.name))
    position = {oid: number for number, oid in enumerate(ranked)}
    component = {oid: number for number, members in enumerate(apart) for oid in members}
    named = {oid: table.ident for oid, table in tables.items()}
    graph: dict[int, list[int]] = {}
    for oid in ranked:
        name = tables[oid].ident
        targets = {key.parent for key in name.foreign_keys}
        targets |= {key.parent for key in name.implied if not apart or component[oid] != component.get(key.parent)}
        copied = source_of(name, named)
        if copied is not None and (not apart or component[oid] != component.get(copied)):
            targets.add(copied)
        graph[oid] = sorted((targets - {oid}) & tables.keys(), key=position.__getitem__)
    return graph


def _break(component: list[int], tables: Mapping[int, Table]) -> list[Step]:
    remaining = sorted(component, key=lambda oid: str(tables[oid].ident))
    steps: list[Step] = []
    while remaining:
        into = {oid: _into(tables[oid].ident, set(remaining)) for oid in remaining}
        first = next((oid for oid in remaining if not into[oid]), None)
        if first is None:
            soft = [oid for oid in remaining if all(nullable(tables[oid], key) for key in into[oid])]
            first = min(soft, key=lambda oid: len(into[oid])) if soft else None
        if first is None:
            steps.append(Step(tuple(remaining)))
            break
        steps.append(Step((first,), tuple((first, key) for key in into[first])))
        remaining.remove(first)
    return steps


def _into(table: TableName, component: set[int]) -> list[ForeignKey]:
    return [key for key in table.foreign_keys if key.parent in component and key.parent != table.oid]


def nullable(table: Table, key: ForeignKey) -> bool:
    """Whether the foreign key may be left NULL at first: with MATCH SIMPLE one NULL column switches it off."""
    return any(not table.by_name[column].not_null for column in key.columns)
