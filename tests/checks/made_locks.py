"""What probes see, made by hand: statements with their locks and counts, so that lock checks run without a server.

Statements are parsed by the project's own classifier, so kinds and names are the real ones; ``held`` follows from what
was taken earlier in the same transaction, as it would on a server::

    users = table("users")
    made_locks.up(seen("CREATE INDEX i ON users (email)", share(users), read={users: 20}, built=[index("i", users)]))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pytest_pgmigrate.discovery.script import parse_script
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.migration import Direction, Place, Statement
from pytest_pgmigrate.model.watch import Blocked, Counts, Lock, Relation, StatementSeen
from tests.checks import made

_OIDS: dict[str, int] = {}
GUARD = {"lock_timeout": "30s", "statement_timeout": "1min", "TimeZone": "Europe/Berlin", "role": "none"}
"""Settings when a migration set nothing: the guard's own timeouts."""


def _qualified(name: str) -> str:
    return name if "." in name else f"public.{name}"


def table(name: str, kind: str = "table", **more: Any) -> Relation:
    """A relation that holds rows; ``new=True`` for one that the migration makes."""
    name = _qualified(name)
    return Relation(_OIDS.setdefault(name, 20_000 + len(_OIDS)), name, kind, name, **more)


def index(name: str, on: Relation, **more: Any) -> Relation:
    """An index of a table."""
    name = _qualified(name)
    kind = "partitioned index" if on.kind == "partitioned table" else "index"
    return Relation(_OIDS.setdefault(name, 20_000 + len(_OIDS)), name, kind, on.name, **more)


def lock(relation: Relation, mode: Mode, **more: Any) -> Lock:
    """A lock that the statement it is given to requests; ``since`` is filled in by ``up`` and ``down``."""
    return Lock(relation, mode, **{"since": -1, **more})


def exclusive(relation: Relation) -> Lock:
    """AccessExclusive: ALTER TABLE, DROP, TRUNCATE."""
    return lock(relation, Mode.ACCESS_EXCLUSIVE)


def share(relation: Relation) -> Lock:
    """Share: CREATE INDEX."""
    return lock(relation, Mode.SHARE)


def share_row(relation: Relation) -> Lock:
    """ShareRowExclusive: ADD FOREIGN KEY on both tables, CREATE TRIGGER."""
    return lock(relation, Mode.SHARE_ROW_EXCLUSIVE)


def update_exclusive(relation: Relation) -> Lock:
    """ShareUpdateExclusive: CONCURRENTLY, VALIDATE; blocks no application."""
    return lock(relation, Mode.SHARE_UPDATE_EXCLUSIVE)


def writing(relation: Relation) -> Lock:
    """RowExclusive: INSERT, UPDATE, DELETE."""
    return lock(relation, Mode.ROW_EXCLUSIVE)


def blocked(label: str, relation: Relation, wants: Mode, held: Mode, tried: bool | None = True) -> Blocked:
    """An application's statement that waited."""
    return Blocked(label, relation.name, "", relation, wants, held, tried)


def seen(
    sql: str,
    *taken: Lock,
    read: Mapping[Relation, int] | None = None,
    inserted: Mapping[Relation, int] | None = None,
    updated: Mapping[Relation, int] | None = None,
    deleted: Mapping[Relation, int] | None = None,
    built: Iterable[Relation] = (),
    transaction: int = 0,
    settings: Mapping[str, str] | None = None,
    **more: Any,
) -> StatementSeen:
    """One statement as the probes saw it; index, line and ``held`` are filled in by ``up`` and ``down``."""
    (statement,) = parse_script(sql, "", "", "").statements
    writes = {"read": read or {}, "inserted": inserted or {}, "updated": updated or {}, "deleted": deleted or {}}
    relations = dict.fromkeys(r for rows in writes.values() for r in rows)
    counts = tuple(Counts(r, **{what: rows.get(r, 0) for what, rows in writes.items()}) for r in relations)
    return StatementSeen(
        statement,
        -1,
        transaction,
        taken=taken,
        counts=counts,
        built=tuple(built),
        settings={**GUARD, **(settings or {})},
        **more,
    )


def _placed(item: StatementSeen, number: int, before: Iterable[StatementSeen]) -> StatementSeen:
    """The statement on line ``number + 1``, with the locks of its transaction so far."""
    taken = tuple(replace(lock, since=number) if lock.since < 0 else lock for lock in item.taken)
    earlier = [lock for other in before if other.transaction == item.transaction for lock in other.held]
    strongest: dict[str, Lock] = {}
    for found in (*earlier, *taken):
        known = strongest.get(found.relation.name)
        if known is None or found.mode > known.mode:
            strongest[found.relation.name] = found
    statement = replace(item.statement, place=Place("", number + 1, 1))
    return replace(item, statement=statement, index=number, taken=taken, held=tuple(strongest.values()))


def _watched(items: Iterable[StatementSeen], file: str) -> tuple[StatementSeen, ...]:
    done: list[StatementSeen] = []
    for number, item in enumerate(items):
        placed = _placed(item, number, done)
        done.append(replace(placed, statement=_in_file(placed.statement, file)))
    return tuple(done)


def _in_file(statement: Statement, file: str) -> Statement:
    return replace(statement, place=replace(statement.place, file=f"{made.FOLDER}/{file}"))


def steps(up: Iterable[StatementSeen], down: Iterable[StatementSeen] = (), **more: Any) -> MigrationEvidence:
    """The evidence of one migration, ``000002_change``, whose up and down were seen like this."""
    seen_up, seen_down = _watched(up, "000002_change.up.sql"), _watched(down, "000002_change.down.sql")
    subject = made.migration(
        name="change",
        up=made.script("000002_change.up.sql", *(s.statement for s in seen_up)),
        down=made.script("000002_change.down.sql", *(s.statement for s in seen_down)),
    )
    passes = {"up": made.step(watched=seen_up), "down": made.step(Direction.DOWN, watched=seen_down)}
    return made.clean(subject, **{**passes, **more})


def up(*items: StatementSeen, **more: Any) -> MigrationEvidence:
    """The evidence of a migration whose up was seen like this."""
    return steps(items, **more)


def down(*items: StatementSeen, **more: Any) -> MigrationEvidence:
    """The evidence of a migration whose down was seen like this, the up doing nothing."""
    return steps((), items, **more)
