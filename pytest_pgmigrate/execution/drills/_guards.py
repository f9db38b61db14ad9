"""Which statements of an up are lag guards: what they read themselves, or through the routines that they call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.model.replica import Guard

if TYPE_CHECKING:
    import psycopg

    from pytest_pgmigrate.model.migration import Script

SOURCES = (
    "pg_stat_replication",
    "pg_last_xact_replay_timestamp",
    "pg_last_wal_replay_lsn",
    "pg_last_wal_receive_lsn",
)
"""Where the lag of a standby is read. The last three know an answer only on a standby."""

_READS = re.compile(r"\b(" + "|".join(SOURCES) + r")\b", re.IGNORECASE)
_STOPS = re.compile(
    r"\braise\s+(?:exception|warning|notice|')|\braise\s*;|\bassert\b|\bpg_sleep|/\s*0\b", re.IGNORECASE
)
_COMPARES = re.compile(r"[<>]|\bbetween\b", re.IGNORECASE)
_COMMENT = re.compile(r"('(?:[^']|'')*')|--[^\n]*|/\*.*?\*/", re.DOTALL)
_SLEEPS = re.compile(r"\bpg_sleep", re.IGNORECASE)
_SETTING = re.compile(r"current_setting\s*\(\s*'([a-z_]\w*\.\w+)'", re.IGNORECASE)
_NAMED = re.compile(
    r"\b(application_name|client_addr|client_hostname|usename|slot_name)\s*(=|~|like\b|in\b)", re.IGNORECASE
)
_DEFINES = ("CREATE ", "create_", "ALTER ", "DROP ", "COMMENT", "GRANT", "REVOKE", "TXN ", "SET")

_ROUTINES = """
SELECT p.proname::text, n.nspname::text, concat(p.prosrc, ' ', {body})
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE p.oid >= 16384 AND n.nspname NOT LIKE 'pg\\_%%'
  AND p.prolang IN (SELECT l.oid FROM pg_catalog.pg_language l WHERE l.lanname NOT IN ('c', 'internal'))
ORDER BY 2, 1
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A guard with the text that decides: the statement's own and that of every routine it calls."""

    guard: Guard
    text: str

    @property
    def sleeps(self) -> bool:
        """Whether it may wait for the standby instead of failing."""
        return _SLEEPS.search(self.text) is not None

    @property
    def settings(self) -> tuple[str, ...]:
        """Settings of the user's own that it reads: its threshold, in all likelihood."""
        return tuple(dict.fromkeys(_SETTING.findall(self.text)))

    @property
    def chooses(self) -> bool:
        """Whether it looks at certain standbys only, which ours need not be."""
        return _NAMED.search(self.text) is not None


def find_guards(script: Script, connection: psycopg.Connection[Any]) -> tuple[Found, ...]:
    """The lag guards of a script; ``connection`` leads to a database where its routines exist."""
    routines = _routines(connection) if _calls(script) else {}
    return tuple(_guards(script, routines))


def _calls(script: Script) -> bool:
    """Whether any statement could call a routine of the user's that guards: cheap, and most scripts cannot."""
    return any("(" in s.text and not s.kind.startswith(_DEFINES) for s in script.statements)


def _guards(script: Script, routines: Mapping[str, str]) -> Iterator[Found]:
    for index, statement in enumerate(script.statements):
        if statement.kind.startswith(_DEFINES):
            continue
        text, called = _with_called(bare(statement.text), routines)
        source = tuple(dict.fromkeys(name.lower() for name in _READS.findall(text)))
        if source and _STOPS.search(text) and _COMPARES.search(text):
            reads = [name for name in called if _READS.search(routines[name])]
            yield Found(Guard(statement, index, reads[0] if reads else "", source), text)


def _with_called(text: str, routines: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The text with that of all routines it calls, and those they call."""
    called: dict[str, None] = {}
    waiting = [text]
    while waiting:
        part = waiting.pop()
        for name in routines:
            if name not in called and re.search(rf"(?<![\w$]){re.escape(name)}\"?\s*\(", part, re.IGNORECASE):
                called[name] = None
                waiting.append(routines[name])
    return "\n".join((text, *(routines[name] for name in called))), tuple(called)


def bare(text: str) -> str:
    """SQL without its comments."""
    return _COMMENT.sub(lambda match: match[1] or " ", text)


def _routines(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Every routine of the user's by name, with its body; overloads of one name are read as one."""
    body = "pg_catalog.pg_get_function_sqlbody(p.oid)"
    found: dict[str, str] = {}
    for name, _, text in connection.execute(_ROUTINES.format(body=body).replace("%%", "%").encode()).fetchall():
        found[name] = f"{found.get(name, '')} {bare(str(text))}"
    return found
