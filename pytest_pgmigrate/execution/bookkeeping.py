"""Tables that a migration makes for itself: a backup, a list of what was copied, its progress.

No application writes there. Whether such a table has rows after the up hangs on the data (a trigger may have done the work
already), so that the text is asked: what the scripts themselves write to, in statements, DO blocks and the routines they
call. Functions that are only created belong to the application.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.database import OUR_SCHEMAS
from pytest_pgmigrate.execution.names import parts

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.model.migration import Migration, Script, Statement

_NAME = r'(?P<name>(?:"(?:[^"]|"")+"|[\w$]+)(?:\.(?:"(?:[^"]|"")+"|[\w$]+))?)'
_ADDS = r"INSERT\s+INTO|MERGE\s+INTO(?:\s+ONLY)?|COPY"
_CHANGES = r"UPDATE(?:\s+ONLY)?|DELETE\s+FROM(?:\s+ONLY)?"
_MAKES = r"CREATE\s+(?:UNLOGGED\s+)?TABLE(?:\s+IF\s+NOT\s+EXISTS)?"
_ADDED = re.compile(rf"\b(?:{_ADDS})\s+{_NAME}", re.IGNORECASE)
_WRITTEN = re.compile(rf"\b(?:{_ADDS}|{_CHANGES})\s+{_NAME}", re.IGNORECASE)
_MADE_OF = re.compile(rf"\b{_MAKES}\s+{_NAME}\s*(?:\([^()]*\)\s*)?AS\b", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_MADE = ("CREATE FUNCTION", "CREATE PROCEDURE")
_RUNS = ("do_stmt", "call_stmt", "select_stmt")
_ROUTINES = """
SELECT p.proname, p.prosrc FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname <> ALL (%s)
"""


def bookkeeping(connection: psycopg.Connection[Any], migration: Migration, made: Iterable[str]) -> tuple[str, ...]:
    """Those of the tables (schema.table) made by the up that the migration itself writes rows to; the up has run."""
    new = tuple(made)
    if not new:
        return ()
    routines = connection.execute(_ROUTINES, (list(OUR_SCHEMAS),)).fetchall()
    written = set(_written(migration.up, routines, _WRITTEN))
    if migration.down is not None:
        # A down that empties its table before it drops it says nothing about who writes there.
        written.update(_written(migration.down, routines, _ADDED))
    return tuple(name for name in new if name in written or name.rpartition(".")[2] in written)


def _written(script: Script, routines: Iterable[tuple[str, str]], verbs: re.Pattern[str]) -> Iterator[str]:
    """Names as the catalog has them, with the schema where one is written."""
    # A routine that the script makes for itself may be gone again.
    own = [(name.rpartition(".")[2], s.text) for s in script.statements if s.kind in _MADE for name in s.creates]
    for statement in script.statements:
        if statement.kind in ("CREATE TABLE AS", "select_stmt"):
            yield from statement.creates
        if not statement.kind.startswith("CREATE"):
            for text in _texts(statement, [*routines, *own]):
                for pattern in (verbs, _MADE_OF):
                    yield from (_plain(match["name"]) for match in pattern.finditer(text))


def _texts(statement: Statement, routines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The statement, and the bodies of routines that it runs and that these run in turn. Strings stay: EXECUTE reads them."""
    pending, left = [statement.text], list(routines) if statement.kind in _RUNS else []
    while pending:
        text = _COMMENT.sub(" ", pending.pop())
        yield text
        named = [(name, body) for name, body in left if body and re.search(rf"\b{re.escape(name)}\b", text)]
        left = [routine for routine in left if routine not in named]
        pending += [body for _, body in named]


def _plain(name: str) -> str:
    """Folded to lower case as the server does, unless quoted."""
    return ".".join(part if f'"{part}"' in name else part.lower() for part in parts(name))
