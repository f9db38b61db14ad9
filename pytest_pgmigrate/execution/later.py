"""Lane B: what an application wrote after the deploy must survive the rollback, and so must every row of before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_pgmigrate.execution import reused
from pytest_pgmigrate.execution.database import OUR_SCHEMAS
from pytest_pgmigrate.execution.names import plain
from pytest_pgmigrate.execution.rows import Key, TableRows, read_rows
from pytest_pgmigrate.model.evidence import LaterRows, LostRows
from pytest_pgmigrate.model.migration import Direction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.model.cluster import Seeder
    from pytest_pgmigrate.model.migration import Migration

_EXAMPLES = 3


def examine(database: Database, migration: Migration, seeder: Seeder, rows: int, *, room: bool = True) -> LaterRows:
    """Up, further rows in every table, down; then look for what the down did not keep.

    ``room``: the up lets tables hold more than before. The rows then fit the version before as well; what only the new
    version can hold is tried apart (edge.py).
    """
    before = read_rows(database.control, OUR_SCHEMAS)
    also = seeder.read_schema(database.control, exclude_schemas=OUR_SCHEMAS) if room else None
    up = database.run("up before later rows", migration, Direction.UP, watched=False)
    if up.error is not None:
        return LaterRows(ran=True, up=up, reason=f"the up fails in a second database: {up.error.message}")
    migrated = read_rows(database.control, OUR_SCHEMAS)
    # A table that the up makes and fills is a backup or reference data: no application writes to it.
    made = [plain(table) for table, now in migrated.items() if table not in before and now.rows]
    seeder.fill(database.control, exclude_schemas=OUR_SCHEMAS)
    after_up, migrated = migrated, read_rows(database.control, OUR_SCHEMAS)
    reports = seeder.write_more(
        database.control, exclude_schemas=OUR_SCHEMAS, rows=rows, exclude_tables=made, also=also
    )
    written = read_rows(database.control, OUR_SCHEMAS)
    if reused.remove(database.control, before, after_up, written):
        written = read_rows(database.control, OUR_SCHEMAS)
    down = database.run("down after later rows", migration, Direction.DOWN, watched=False)
    count = sum(report.filled for report in reports)
    if down.error is not None:
        return LaterRows(ran=True, written=count, up=up, down=down)
    now = read_rows(database.control, OUR_SCHEMAS)
    lost = [*_lost_before(before, now, down.started_at), *_lost_later(before, migrated, written, now, down.started_at)]
    return LaterRows(ran=True, written=count, up=up, down=down, lost=tuple(lost))


def _lost_before(before: Mapping[str, TableRows], now: Mapping[str, TableRows], since: str) -> Iterable[LostRows]:
    for table, old in before.items():
        new = now.get(table)
        if new is None or not old.key or new.key != old.key:
            continue
        columns = [c for c in old.types if new.types.get(c) == old.types[c]]
        found = _compare(table, "before", dict(old.rows), new, columns, since)
        if found is not None:
            yield found


def _lost_later(
    before: Mapping[str, TableRows],
    migrated: Mapping[str, TableRows],
    written: Mapping[str, TableRows],
    now: Mapping[str, TableRows],
    since: str,
) -> Iterable[LostRows]:
    for table, old in before.items():
        middle, full, new = migrated.get(table), written.get(table), now.get(table)
        # A table that the up drops or gives another key has no later rows to keep under the old name.
        if middle is None or full is None or new is None or not old.key or not (old.key == full.key == new.key):
            continue
        later = {key: row for key, row in full.rows.items() if key not in middle.rows}
        columns = [c for c in old.types if _untouched(c, old, middle, full, new)]
        found = _compare(table, "later", later, new, columns, since)
        if found is not None:
            yield found


def _untouched(column: str, old: TableRows, middle: TableRows, full: TableRows, new: TableRows) -> bool:
    """A column that the migration leaves alone: same type throughout, no old value changed by the up."""
    kind = old.types[column]
    if not (full.types.get(column) == kind == new.types.get(column)):
        return False
    return all(middle.rows.get(key, {}).get(column) == row[column] for key, row in old.rows.items())


def _compare(
    table: str,
    kind: str,
    expected: Mapping[Key, Mapping[str, str | None]],
    new: TableRows,
    columns: list[str],
    since: str,
) -> LostRows | None:
    missing = [key for key in expected if key not in new.rows]
    changed: dict[Key, list[str]] = {}
    for key, row in expected.items():
        found = new.rows.get(key)
        if found is None:
            continue
        differing = [c for c in columns if found[c] != row[c] and not _is_clock(new.types[c], found[c], since)]
        if differing:
            changed[key] = differing
    if not missing and not changed:
        return None
    names = tuple(dict.fromkeys(column for columns_ in changed.values() for column in columns_))
    examples = [f"{_key_text(new.key, key)}: gone" for key in missing[:_EXAMPLES]]
    for key, differing in list(changed.items())[: _EXAMPLES - len(examples)]:
        column = differing[0]
        examples.append(
            f"{_key_text(new.key, key)}: {column} was {expected[key][column]!r}, is {new.rows[key][column]!r}"
        )
    return LostRows(table, kind, len(expected), len(missing), len(changed), names, tuple(examples))


def _is_clock(kind: str, value: str | None, since: str) -> bool:
    """A value that a trigger or the down itself took from the clock during the down."""
    return kind.startswith("timestamp") and value is not None and value[:19] >= since[:19].replace("T", " ")


def _key_text(names: tuple[str, ...], key: Key) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, key, strict=False))
