"""One statement that the application may run, and the relation locks it takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pytest_pgmigrate.model.locks import Mode


@dataclass(frozen=True, slots=True)
class Rule:
    """A lock that a foreign key takes on the table at its far end, by way of that table's indexes."""

    oid: int
    mode: Mode
    indexes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AppStatement:
    """A statement as an application sends it; ``label`` is how a person says it, ``table`` what it is about."""

    label: str
    sql: str
    table: str
    oid: int = 0
    """The table's; 0 for a user's query."""

    file: str = ""
    rules: tuple[Rule, ...] = ()
    """What it locks when a row is really written, known without running it."""

    acts: bool = False
    """Code of the user's runs with it (triggers, rules, functions): sequences may move."""

    runs: bool = True
    """False: only its documented locks are known, it is never sent."""

    prefix: str = ""
    """What is sent before ``sql``, on one line."""

    parameters: int = 0
    """How many NULLs go with it, one for each parameter."""

    @property
    def sent(self) -> tuple[str, int]:
        """The text to send, and how many parameters it has."""
        return self.prefix + self.sql, self.parameters


@dataclass(frozen=True, slots=True)
class Footprint:
    """The relation locks one statement takes until its transaction ends, by relation OID."""

    locks: Mapping[int, frozenset[Mode]] = field(default_factory=dict)
    by_rule: frozenset[int] = frozenset()
    """Relations of which at least one lock was not seen but follows from a rule."""

    def with_rules(self, rules: tuple[Rule, ...]) -> Footprint:
        """With the locks of those rules that were not seen to be kept."""
        locks, by_rule = dict(self.locks), set(self.by_rule)
        for rule in rules:
            if rule.mode in self.locks.get(rule.oid, frozenset()):
                continue
            for oid in (rule.oid, *rule.indexes):
                locks[oid] = locks.get(oid, frozenset()) | {rule.mode}
                by_rule.add(oid)
        return Footprint(locks, frozenset(by_rule))

    def with_indexes(self, indexes: Iterable[int]) -> Footprint:
        """With the indexes of tables that are written: locked too, but only until the statement ends."""
        locks = dict(self.locks)
        for oid in indexes:
            locks[oid] = locks.get(oid, frozenset()) | {Mode.ROW_EXCLUSIVE}
        return Footprint(locks, self.by_rule)
