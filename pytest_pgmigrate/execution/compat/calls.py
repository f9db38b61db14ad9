"""Functions of version n-1 that the up changed, or that name a table it changed: called as the old release calls them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.compat.attempts import literal
from pytest_pgmigrate.execution.compat.values import by_type

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import psycopg

    from pytest_pgmigrate.execution.compat.tables import Old

MOST = 20
"""Functions called."""

_READ = b"""
SELECT p.oid::int8, n.nspname || '.' || p.proname, p.oid::regprocedure::text, format('%%I.%%I', n.nspname, p.proname),
  p.prokind::text,
  (SELECT coalesce(json_agg(json_build_array(coalesce(p.proargnames[u.place], ''), format_type(u.type, NULL))
      ORDER BY u.place), '[]')
   FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u(type, place) WHERE u.place <= p.pronargs - p.pronargdefaults)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_type r ON r.oid = p.prorettype
WHERE p.prokind IN ('f', 'p') AND p.oid >= 16384 AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  AND (r.typtype <> 'p' OR r.typname IN ('void', 'record'))
  AND (p.proname = ANY (%s::text[]) OR p.prosrc ~* %s)
ORDER BY p.oid LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Function:
    """A function or procedure; ``signature`` as regprocedure writes it, ``call`` as the old release sends it."""

    oid: int
    name: str
    signature: str
    call: str


def read(connection: psycopg.Connection[Any], names: Collection[str], olds: Sequence[Old]) -> list[Function]:
    """Functions with one of these names, or whose body names one of the tables."""
    words = [re.escape(old.table.name.split(".", 1)[1]) for old in olds]
    if not names and not words:
        return []
    pattern = rf"\m({'|'.join(words)})\M" if words else "^$"
    rows = connection.execute(_READ, (list(names), pattern, MOST), prepare=False).fetchall()
    return [
        Function(oid, name, signature, _call(sql, kind, arguments, olds))
        for oid, name, signature, sql, kind, arguments in rows
    ]


def _call(sql: str, kind: str, arguments: Iterable[tuple[str, str]], olds: Sequence[Old]) -> str:
    values = ", ".join(f"{literal(_value(name, kind_, olds))}::{kind_}" for name, kind_ in arguments)
    sql = sql.removeprefix("public.")
    return f"CALL {sql}({values})" if kind == "p" else f"SELECT * FROM {sql}({values})"


def _value(name: str, kind: str, olds: Sequence[Old]) -> str | None:
    """A value that a column of the argument's name holds, else one by type."""
    bare = re.sub(r"^(p|in|v|arg|_)?_", "", name) if name else ""
    for old in olds:
        for wanted in (name, bare, bare.removeprefix(old.table.name.split(".", 1)[1].rstrip("s") + "_")):
            if wanted and old.stored and old.stored[0].get(wanted) is not None:
                return old.stored[0][wanted]
    return by_type(kind)


_FATE = b"""
SELECT n.nspname || '.' || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname || '.' || p.proname = %s OR p.oid = %s
 ORDER BY n.nspname || '.' || p.proname = %s DESC LIMIT 1
"""


def fate(connection: psycopg.Connection[Any], function: Function) -> str:
    """Its own name where something of that name is there, the name it was given instead, or "" where it is gone."""
    row = connection.execute(_FATE, (function.name, function.oid, function.name), prepare=False).fetchone()
    return str(row[0]) if row else ""
