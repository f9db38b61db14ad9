"""Tables that a migration makes for itself: a backup, a list of what was copied, its progress.

No application writes there. Whether such a table has rows after the up hangs on the data (a trigger may have done the work
already), so that the text is asked: what the scripts themselves write to, in statements, DO blocks and the routines they
call. Functions, triggers and rules that are only created belong to the application. What stands in a string is text, but
in a body that has an EXECUTE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.database import OUR_SCHEMAS

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.model.migration import Migration, Script, Statement

_PART = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_NAME = rf"(?P<name>{_PART}(?:\s*\.\s*{_PART})?)"
_ADDS = r"INSERT\s+INTO|MERGE\s+INTO(?:\s+ONLY)?|COPY"
_CHANGES = r"UPDATE(?:\s+ONLY)?|DELETE\s+FROM(?:\s+ONLY)?"
_MAKES = r"CREATE\s+(?:UNLOGGED\s+)?TABLE(?:\s+IF\s+NOT\s+EXISTS)?"
_ADDED = re.compile(rf"\b(?:{_ADDS})\s+{_NAME}", re.IGNORECASE)
_WRITTEN = re.compile(rf"\b(?:{_ADDS}|{_CHANGES})\s+{_NAME}", re.IGNORECASE)
_MADE_OF = re.compile(rf"\b{_MAKES}\s+{_NAME}\s*(?:\([^()]*\)\s*)?AS\b", re.IGNORECASE)
_STRING = r"[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$"
_QUOTED = re.compile(rf'(?P<string>{_STRING})|(?P<name>"(?:[^"]|"")*")|--[^\n]*|/\*.*?\*/', re.DOTALL)
_KEPT = re.compile(r"\0(\d+)\0")
_DYNAMIC = re.compile(r"\bEXECUTE\b(?!\s+(?:FUNCTION|PROCEDURE)\b)", re.IGNORECASE)
# What follows in a piece of a body is said or made there, not run.
_NOT_RUN = re.compile(
    r"\b(?:RAISE|COMMENT\s+ON|CREATE\s+(?:OR\s+REPLACE\s+)?(?:CONSTRAINT\s+)?(?:RULE|TRIGGER|FUNCTION|PROCEDURE))\b",
    re.IGNORECASE,
)
_ATOMIC = re.compile(r"\bBEGIN\s+ATOMIC\b", re.IGNORECASE)
_FOR_TRIGGERS = re.compile(r"\bRETURNS\s+(?:pg_catalog\.)?(?:event_)?trigger\b", re.IGNORECASE)
_MADE = ("CREATE FUNCTION", "CREATE PROCEDURE")
_RUNS = ("do_stmt", "call_stmt", "select_stmt")
_WRITES = ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt", *_RUNS)
# Only the server calls a trigger's function; extensions do not know of the table.
_ROUTINES = """
SELECT p.proname, p.prosrc FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname <> ALL (%s)
   AND p.prorettype NOT IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
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
    made = [s for s in script.statements if s.kind.startswith(_MADE) and not _FOR_TRIGGERS.search(s.text)]
    own = [(name.rpartition(".")[2], _code(statement.text)) for statement in made for name in statement.creates]
    for statement in script.statements:
        if statement.kind in ("CREATE TABLE AS", "select_stmt"):
            yield from statement.creates
        if statement.kind in _WRITES:
            for text in _texts(statement, [*routines, *own]):
                for pattern in (verbs, _MADE_OF):
                    yield from (_plain(match["name"]) for match in pattern.finditer(text))


def _texts(statement: Statement, routines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The statement, and the bodies of routines that it runs and that these run in turn."""
    pending = [_code(statement.text) if statement.kind == "do_stmt" else statement.text]
    left = list(routines) if statement.kind in _RUNS else []
    while pending:
        text = _run(pending.pop())
        yield text
        named = [(name, body) for name, body in left if body and re.search(rf"\b{re.escape(name)}\b", text)]
        left = [routine for routine in left if routine not in named]
        pending += [body for _, body in named]


def _code(text: str) -> str:
    """The body of a DO or a CREATE FUNCTION: in SQL, or the longest string there."""
    if atomic := _ATOMIC.search(text):
        return text[atomic.end() :]
    strings = [found["string"] for found in _QUOTED.finditer(text) if found["string"]]
    body = max(strings, key=len, default="")
    if body.startswith("$"):
        return body[body.index("$", 1) + 1 : body.rindex("$", 0, -1)]
    return body[body.index("'") + 1 : -1].replace("''", "'") if body else text


def _run(text: str) -> str:
    """What the code runs: without comments, messages and what it only makes; with strings only where an EXECUTE is."""
    kept: list[tuple[str, bool]] = []

    def aside(found: re.Match[str]) -> str:
        if not (found["string"] or found["name"]):
            return " "
        kept.append((found[0], bool(found["string"])))
        return f"\0{len(kept) - 1}\0"

    bare = _QUOTED.sub(aside, text)
    strings = _DYNAMIC.search(bare) is not None

    def back(found: re.Match[str]) -> str:
        said, string = kept[int(found[1])]
        return said if strings or not string else " "

    return _KEPT.sub(back, ";".join(_NOT_RUN.split(piece, maxsplit=1)[0] for piece in bare.split(";")))


def _plain(name: str) -> str:
    """Folded to lower case as the server does, unless quoted; without blanks around the dot."""
    parts = re.findall(_PART, name)
    return ".".join(part[1:-1].replace('""', '"') if part.startswith('"') else part.lower() for part in parts)
