"""Foreign keys written after the rows: those that close a cycle between tables."""

from __future__ import annotations

from pytest_pgmigrate.seeding.draw import Stream
from pytest_pgmigrate.seeding.load import Stored, update
from pytest_pgmigrate.seeding.parents import Parents
from pytest_pgmigrate.seeding.session import Session
from pytest_pgmigrate.seeding.shape import Column, ForeignKey, Row, Table, quote_identifier

MAX_ROWS = 5000


def read_rows(session: Session, table: Table, names: list[str], condition: str = "true") -> tuple[list[str], list[Row]]:
    """The names that identify a row, and the rows with ``names`` in an order that no collation decides."""
    identity = list(table.key) or ["tableoid", "ctid"]
    shown = list(dict.fromkeys((*identity, *names)))
    text = ", ".join(f"{quote_identifier(name)}::text" for name in shown)
    order = ", ".join(
        quote_identifier(name) if name == "ctid" else f'{quote_identifier(name)}::text COLLATE "C"' for name in identity
    )
    rows = session.query(f"SELECT {text} FROM {table.ident.only} WHERE {condition} ORDER BY {order} LIMIT {MAX_ROWS}")
    return identity, [dict(zip(shown, row, strict=True)) for row in rows]


def write_links(session: Session, table: Table, key: ForeignKey, parents: Parents, seed: int) -> Stored:
    """Point every second row that has no value for ``key`` yet to a row of its parent.

    A row that may not change (a trigger, a CHECK, a unique index) keeps its NULL: that is a valid row, too.
    """
    free = [table.by_name[column] for column in key.columns if not table.by_name[column].not_null]
    missing = " AND ".join(f"{column.quoted} IS NULL" for column in free)
    identity, rows = read_rows(session, table, list(key.columns), missing)
    candidates = parents.rows(key)
    stream = Stream(seed, str(table.ident), "@later", key.name)
    changed = []
    for number, row in enumerate(rows[::2]):
        if _point(row, key, free, candidates, stream.permuted(number, len(candidates))):
            changed.append(row)
    return update(session, table, identity, free, changed)


def _point(row: Row, key: ForeignKey, free: list[Column], candidates: list[Row], first: int) -> bool:
    bound = {reference: row[column] for column, reference in key.pairs if row.get(column) is not None}
    fitting = [one for one in candidates if all(one.get(name) == value for name, value in bound.items())]
    if not fitting:
        return False
    picked = fitting[first % len(fitting)]
    references = dict(key.pairs)
    row.update({column.name: picked[references[column.name]] for column in free})
    return True
