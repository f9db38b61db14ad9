"""One statement that the application may run, and the relation locks it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_pgmigrate.model.locks import Mode


@dataclass(frozen=True, slots=True)
class AppStatement:
    """A statement as an application sends it; ``label`` is how a person says it, ``table`` what it is about."""

    label: str
    sql: str
    table: str
    oid: int = 0
    """The table's; 0 for a user's query."""

    file: str = ""
    by_rule: tuple[tuple[int, Mode], ...] = ()
    """Locks its foreign keys take when a row is really written, known without running it."""

    acts: bool = False
    """Code of the user's runs with it (triggers, rules, functions): sequences may move."""

    runs: bool = True
    """False: only its documented locks are known, it is never sent."""

    prefix: str = ""
    """What is sent before ``sql``, on one line."""

    @property
    def sent(self) -> str:
        """The text to send."""
        return self.prefix + self.sql


@dataclass(frozen=True, slots=True)
class Footprint:
    """The relation locks one statement takes until its transaction ends, by relation OID."""

    locks: Mapping[int, frozenset[Mode]] = field(default_factory=dict)
    by_rule: frozenset[int] = frozenset()
    """Relations of which at least one lock was not seen but follows from a rule."""

    def with_rules(self, rules: Mapping[int, frozenset[Mode]]) -> Footprint:
        """With further locks by rule; those that were seen anyway stay seen."""
        locks, by_rule = dict(self.locks), set(self.by_rule)
        for oid, modes in rules.items():
            if modes - locks.get(oid, frozenset()):
                locks[oid] = locks.get(oid, frozenset()) | modes
                by_rule.add(oid)
        return Footprint(locks, frozenset(by_rule))
