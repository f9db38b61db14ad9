"""The user's triggers of a table switched off for a while, and put back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import Table, quote_identifier

# tgtype bit 2 is INSERT (pg_trigger.h). Partitions hold copies of their table's row triggers.
_ENABLED = """
SELECT n.nspname, c.relname, t.tgname, t.tgenabled::text
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (t.tgrelid = {0} OR t.tgrelid IN (SELECT relid FROM pg_partition_tree({0})))
  AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 4 <> 0
ORDER BY 1, 2, 3
"""
_STATES = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}


@contextmanager
def without_triggers(session: Session, table: Table) -> Iterator[tuple[str, ...]]:
    """The block runs without the table's own INSERT triggers; gives their names, () when there is none to switch off.

    Foreign keys stay enforced: only triggers that a user made are concerned (ALTER TABLE, DISABLE TRIGGER).
    """
    found = session.query(_ENABLED.format(table.ident.oid))
    done = []
    for schema, relation, trigger, state in found:
        name = f"{quote_identifier(schema)}.{quote_identifier(relation)}"
        if not isinstance(_alter(session, name, "DISABLE", trigger), psycopg.Error):
            done.append((name, trigger, state))
    try:
        yield tuple(dict.fromkeys(trigger for _, trigger, _ in done))
    finally:
        for name, trigger, state in done:
            _alter(session, name, _STATES[state], trigger)


def _alter(session: Session, relation: str, what: str, trigger: str) -> object:
    return session.attempt(f"ALTER TABLE ONLY {relation} {what} TRIGGER {quote_identifier(trigger)}")
