"""Footprints by table, kept as long as nothing they depend on changed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.execution.blocking.derive import statements_of
from pytest_pgmigrate.execution.blocking.prober import Prober
from pytest_pgmigrate.execution.blocking.record import Recorded, record
from pytest_pgmigrate.execution.blocking.sequences import Sequences
from pytest_pgmigrate.execution.blocking.tables import Store, describe, fingerprints, related, stores_of
from pytest_pgmigrate.execution.blocking.users import checked_keys, rules_of, statements_from
from pytest_pgmigrate.model.locks import Mode

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pytest_pgmigrate.execution.blocking.queries import AppQuery
    from pytest_pgmigrate.execution.blocking.statements import AppStatement


@dataclass(frozen=True, slots=True)
class Entry:
    """Footprints of one table's statements, and the fingerprints of all that they rest on."""

    recorded: tuple[Recorded, ...]
    rests_on: Mapping[int, str]


def _tidy(connection: psycopg.Connection[Any], tables: Collection[int]) -> None:
    """Take away the dead rows of what was undone: a migration that builds an index would read them, and be blamed."""
    if tables:
        names = connection.execute("SELECT oid::regclass::text FROM pg_class WHERE oid = ANY(%s)", (list(tables),))
        listed = ", ".join(name for (name,) in names)
        with suppress(psycopg.Error):
            connection.execute(f"VACUUM (TRUNCATE false) {listed}")


class Cache:
    """Knows the footprints of the tables that were asked for."""

    def __init__(self, prober: Prober, queries: Sequence[AppQuery]) -> None:
        self._prober = prober
        self._queries = queries
        self._entries: dict[int, Entry] = {}

    def get(self, names: Collection[str]) -> tuple[tuple[Recorded, ...], tuple[str, ...]]:
        """Footprints for tables by name and for the user's queries, and notes. Raises psycopg.Error."""
        connection = self._prober.connection
        oids = related(connection, names)
        queries, notes = statements_from(self._queries, connection.info.server_version)
        now = fingerprints(connection, {*oids, *(oid for entry in self._entries.values() for oid in entry.rests_on)})
        self._entries = {key: entry for key, entry in self._entries.items() if self._holds(entry, now)}
        missing = [oid for oid in oids if oid not in self._entries]
        asked: dict[int, Sequence[AppStatement]] = {
            table.oid: statements_of(table) for table in (describe(connection, missing) if missing else ())
        }
        # No relation has an OID below 0: there the user's queries are kept.
        own = {-number: (query,) for number, query in enumerate(queries, 1)}
        asked.update((key, group) for key, group in own.items() if key not in self._entries)
        if asked:
            self._record(asked, now)
        found = [r for key in (*oids, *own) if key in self._entries for r in self._entries[key].recorded]
        return tuple(found), (*notes, *(recorded.note for recorded in found if recorded.note))

    @staticmethod
    def _holds(entry: Entry, now: Mapping[int, str]) -> bool:
        if any(recorded.again for recorded in entry.recorded):
            return False
        return all(now.get(oid) == fingerprint for oid, fingerprint in entry.rests_on.items())

    def _record(self, asked: Mapping[int, Sequence[AppStatement]], now: Mapping[int, str]) -> None:
        statements = [statement for group in asked.values() for statement in group]
        acting = any(statement.acts for statement in statements)
        sequences = Sequences(self._prober.connection) if acting else None
        recorded = record(self._prober, statements)
        connection = self._prober.connection
        if sequences is not None:
            sequences.restore(connection)
        written = {oid for one in recorded for oid, modes in one.footprint.locks.items() if Mode.ROW_EXCLUSIVE in modes}
        stores = stores_of(connection, written)
        _tidy(connection, [oid for oid in written if oid in stores and stores[oid].kind == "r"])
        completed = iter([self._completed(one, stores) for one in recorded])
        known = {*now, *(oid for one in recorded for oid in one.footprint.locks)}
        after = {**fingerprints(connection, known - now.keys()), **now}
        for key, group in asked.items():
            entry = tuple(islice(completed, len(group)))
            oids = {key, *(oid for one in entry for oid in one.footprint.locks)}
            self._entries[key] = Entry(entry, {oid: after[oid] for oid in oids if oid in after})

    def _completed(self, recorded: Recorded, stores: Mapping[int, Store]) -> Recorded:
        """With what ``pg_locks`` could not show: locks given back too early, and those of rows that were not there."""
        locks = recorded.footprint.locks
        written = [oid for oid, modes in locks.items() if oid in stores and Mode.ROW_EXCLUSIVE in modes]
        indexes = [index for oid in written for index in stores[oid].indexes]
        rules = recorded.statement.rules
        if keys := checked_keys(recorded.plan):
            rules = (*rules, *rules_of(self._prober.connection, keys, written))
        footprint = recorded.footprint.with_indexes(indexes).with_rules(rules)
        sequences = frozenset(oid for oid in written if stores[oid].kind == "S")
        return replace(recorded, footprint=footprint, sequences=sequences)
