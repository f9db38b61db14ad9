"""SQL expressions for values that are not yet there: what a copied row needs in its keys.

Everything is looked up while the statement runs, so that it stays right when rows come and go, and nothing draws from a
sequence, which no rollback would put back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.blocking.tables import Column, ForeignKey, Table

# Rows at the very end of a type's range are passed over: the value after them would be out of range.
_ROOM = {"int2": "32000", "int4": "2147483000", "int8": "9223372036854775000", "float4": "1e6", "float8": "1e15"}
_TEXTS = ("text", "varchar", "bpchar", "citext", "name")
_TIMES = ("date", "timestamp", "timestamptz")
_SUFFIX = 8


def fresh(table: Table, column: Column) -> str | None:
    """A value that no row of the leaf has in ``column``, for a row ``p``; None when the type offers no simple one."""
    own = f"p.{column.sql}"
    if column.type == "uuid":
        return "gen_random_uuid()"
    if column.type in _TEXTS:
        return _text(own, column)
    if column.type in _TIMES:
        condition = f"isfinite(x.{column.sql}) AND x.{column.sql} < '9000-01-01'"
        return _above(table, column, "interval '1 day'", condition)
    bound = _ROOM.get(column.type) or (_numeric_room(column) if column.type == "numeric" else None)
    if bound is None:
        return None
    return _above(table, column, "1", f"x.{column.sql} < {bound}")


def unused_partner(table: Table, key: ForeignKey, others: tuple[Column, ...]) -> str | None:
    """A row of the referenced table that no row with the same ``others`` points to: for link tables."""
    if len(key.own) != 1 or key.other_kind != "r":
        return None
    column, theirs = table.column(key.own[0]), key.theirs[0]
    same = "".join(f" AND x.{other.sql} = p.{other.sql}" for other in others if other is not column)
    return (
        f"(SELECT r.{theirs} FROM ONLY {key.other_sql} r WHERE NOT EXISTS"
        f" (SELECT FROM ONLY {table.leaf.sql} x WHERE x.{column.sql} = r.{theirs}{same}) LIMIT 1)"
    )


def some_partner(table: Table, key: ForeignKey) -> str | None:
    """The row's own reference, or any row of the referenced table where it has none."""
    if len(key.own) != 1 or key.other_kind != "r":
        return None
    column = table.column(key.own[0])
    if column.not_null:
        return None
    return f"coalesce(p.{column.sql}, (SELECT r.{key.theirs[0]} FROM ONLY {key.other_sql} r LIMIT 1))"


def _above(table: Table, column: Column, step: str, condition: str) -> str:
    return f"(SELECT max(x.{column.sql}) + {step} FROM ONLY {table.leaf.sql} x WHERE {condition})"


def _text(own: str, column: Column) -> str:
    digest = f"md5({own}::text || 'copy')"
    length = column.modifier - 4 if column.modifier > 0 and column.type in ("varchar", "bpchar") else 0
    if not length:
        return f"{own} || left({digest}, {_SUFFIX})"
    if length <= 2 * _SUFFIX:
        return f"left({digest}, {length})"
    return f"left(rtrim({own}), {length - _SUFFIX}) || left({digest}, {_SUFFIX})"


def _numeric_room(column: Column) -> str:
    if column.modifier < 4:
        return "1e15"
    precision, scale = (column.modifier - 4) >> 16, (column.modifier - 4) & 0x7FF
    return f"1e{precision - scale} - 2" if 0 < precision - scale < 100 and scale < 1024 else "1"
