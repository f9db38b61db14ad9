"""Which of the columns that ups add have values by the time of the next migration: those that no backfill is to come for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_pgmigrate.execution.names import parts, plain
from pytest_pgmigrate.model.migration import Migration
from pytest_pgmigrate.model.state import Difference, State

_ADDED = re.compile(
    r"""\bADD\s+(?:COLUMN\s+)?(?:IF\s+NOT\s+EXISTS\s+)?
    (?!(?:CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE|COLUMN|IF|GENERATED|VALUE)\b)("(?:[^"]|"")+"|\w+)""",
    re.IGNORECASE | re.VERBOSE,
)


def columns_to_fill(changed: Difference, after: State, migrations: Sequence[Migration]) -> list[tuple[str, str]]:
    """New columns that the next release would fill with values of its own, as (table, column).

    Not those that a migration fills itself, now or later, and not ``price_new`` beside ``price``: they take their values
    from another column by a backfill, and anything else in them would be a state that no application makes.
    """
    new = [c.key for c in changed.objects if c.change == "extra" and c.key.kind == "column"]
    names: dict[str, set[str]] = {}
    for key in after.objects if new else ():
        if key.kind == "column":
            names.setdefault(key.relation, set()).add(key.name.rsplit(".", 1)[-1])
    found = []
    for key in new:
        name = key.name.rsplit(".", 1)[-1]
        others = names.get(key.relation, set()) - {name}
        shadow = any(name.startswith(f"{other}_") or name.endswith(f"_{other}") for other in others)
        if not shadow and not _assigned(name, migrations):
            found.append((plain(key.relation), plain(name)))
    return found


def columns_to_leave(applied: Sequence[Migration], coming: Sequence[Migration]) -> list[tuple[str, str]]:
    """Columns that an applied up added to a table and an up to come writes, as (table, column), the table without schema.

    Tables are filled when rows are first needed, which is after all migrations that are only applied: such a column has
    no values yet, as it would have had none in rows written before it.
    """
    found = []
    for migration in applied:
        for statement in migration.up.statements:
            if statement.relations and any("AddColumn" in kind for kind in statement.kinds):
                table = parts(statement.relations[0])[-1]
                names = (plain(name) for name in _ADDED.findall(statement.text))
                found += [(table, name) for name in names if _assigned(name, coming)]
    return found


def _assigned(column: str, migrations: Sequence[Migration]) -> bool:
    """Whether an up writes this column: ``SET column =``, ``, column =`` in an UPDATE, ``NEW.column :=`` in a trigger."""
    pattern = re.compile(rf'(?:\bSET\s+|,\s*|\bNEW\.)"?{re.escape(column)}"?\s*:?=', re.IGNORECASE)
    return any(pattern.search(chunk.text) for migration in migrations for chunk in migration.up.chunks)
