"""What the checks about locks share: the steps that were watched, what holds whom up, and how it is said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_pgmigrate.checks._common import last_part, listed, short
from pytest_pgmigrate.model.evidence import MigrationEvidence, Step
from pytest_pgmigrate.model.finding import Severity
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.migration import Direction, Statement
from pytest_pgmigrate.model.watch import Lock, StatementSeen
from pytest_pgmigrate.options import Settings


@dataclass(frozen=True, slots=True)
class Watched:
    """One statement of the watched up or down, with its step and the evidence it belongs to."""

    evidence: MigrationEvidence
    step: Step
    seen: StatementSeen

    @property
    def down(self) -> bool:
        """Whether it is a statement of the down, whose locks are warnings at most."""
        return self.step.direction is Direction.DOWN


def watched(evidence: MigrationEvidence) -> Iterator[Watched]:
    """Every statement that was watched: the up's, then the down's. None of a migration whose up fails: that comes first."""
    if evidence.status != "examined":
        return
    for step in (evidence.up, evidence.down):
        if step is not None:
            yield from (Watched(evidence, step, seen) for seen in step.watched)


def blocking(locks: Iterable[Lock]) -> tuple[Lock, ...]:
    """Locks on tables that existed before and that an application's writes (or reads) wait for, strongest first."""
    found = [lock for lock in locks if lock.mode.blocks_writes and lock.relation.holds_rows and not lock.relation.new]
    return tuple(sorted(found, key=lambda lock: (-lock.mode, lock.relation.name)))


def known_rows(evidence: MigrationEvidence, table: str) -> int | None:
    """Rows the table has in production, as far as the user said."""
    return evidence.production_rows.get(table)


def is_small(evidence: MigrationEvidence, settings: Settings, table: str) -> bool:
    """Whether the table is known to have so few rows that scanning it under a lock hurts nobody."""
    rows = known_rows(evidence, table)
    return rows is not None and rows <= settings.max_blocked_rows


def weigh(item: Watched, settings: Settings, table: str, severity: Severity = Severity.ERROR) -> Severity | None:
    """The severity of work on ``table`` under a blocking lock: less in a down, None where row counts exempt it."""
    if is_small(item.evidence, settings, table):
        return None
    return Severity.WARNING if item.down else severity


def rows_phrase(evidence: MigrationEvidence, table: str, rows: int) -> str:
    """``20 rows (400,000,000 in production)``."""
    known = known_rows(evidence, table)
    said = f"{rows:,} row{'' if rows == 1 else 's'}"
    return said if known is None else f"{said} ({known:,} in production)"


def who_waits(lock: Lock) -> str:
    """What an application cannot do meanwhile, by the mode."""
    name = short(lock.relation.name)
    if lock.mode.blocks_reads:
        return f"every SELECT, INSERT, UPDATE and DELETE on {name} waits until it is released"
    if lock.mode is Mode.EXCLUSIVE:
        return (
            f"INSERT, UPDATE, DELETE and SELECT … FOR UPDATE on {name} wait until it is released; plain SELECT goes on"
        )
    return f"INSERT, UPDATE and DELETE on {name} wait until it is released; SELECT goes on"


def blocked_lines(seen: StatementSeen) -> tuple[str, ...]:
    """What of the application was blocked, tried first: ``while this ran, INSERT into orders waited``."""
    lines = []
    for item in sorted(seen.blocked, key=lambda b: (b.tried is not True, b.table, b.label)):
        if item.tried is False:
            continue
        where = f" ({item.file})" if item.file else ""
        said = "waited" if item.tried else "would wait"
        lines.append(
            f"while this ran, {item.label}{where} {said}: "
            f"it needs {item.wants.pg} on {short(item.relation.name)}, {item.held.pg} was held"
        )
    return listed(lines)


def lock_facts(item: Watched, lock: Lock) -> dict[str, object]:
    """The observed figures that every lock finding carries."""
    seen = item.seen
    count = seen.count(lock.relation.name)
    return {
        "step": item.step.name,
        "relation": lock.relation.name,
        "lock": lock.mode.pg,
        "source": lock.source,
        "rows_read": count.read if count else 0,
        "rows_written": count.written if count else 0,
        "rewritten": [r.name for r in seen.rewritten],
        "rebuilt": [r.name for r in seen.rebuilt],
        "wal_bytes": seen.wal_bytes,
        "blocked": [b.label for b in seen.blocked if b.tried is not False],
        "tried": sum(b.tried is not None for b in seen.blocked),
        "production_rows": known_rows(item.evidence, lock.relation.name),
    }


# -- the user's names, as SQL takes them ------------------------------------------------------------------------------------

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
# https://www.postgresql.org/docs/current/sql-keywords-appendix.html: reserved, so a name only in quotes.
_RESERVED = frozenset({
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "both", "case", "cast", "check",
    "collate", "column", "constraint", "create", "current_catalog", "current_date", "current_role", "current_time",
    "current_timestamp", "current_user", "default", "deferrable", "desc", "distinct", "do", "else", "end", "except",
    "false", "fetch", "for", "foreign", "from", "grant", "group", "having", "in", "initially", "intersect", "into",
    "lateral", "leading", "limit", "localtime", "localtimestamp", "not", "null", "offset", "on", "only", "or",
    "order", "placing", "primary", "references", "returning", "select", "session_user", "some", "symmetric",
    "system_user", "table", "then", "to", "trailing", "true", "union", "unique", "user", "using", "variadic",
    "when", "where", "window", "with",
})  # fmt: skip


def quoted(name: str) -> str:
    """One name as SQL takes it."""
    if _PLAIN.fullmatch(name) and name not in _RESERVED:
        return name
    return name if name.startswith('"') else '"' + name.replace('"', '""') + '"'


def qualified(name: str) -> str:
    """A qualified name as SQL takes it, without ``public``."""
    return ".".join(map(quoted, short(name).split(".", 1)))


_COMMENT = re.compile(r"""('(?:[^']|'')*'|"[^"]*"|\$\$.*?\$\$)|--[^\n]*|/\*.*?\*/""", re.DOTALL)


def as_sql(statement: Statement) -> str:
    """The statement on one line, whole, without comments, with its semicolon."""
    bare = _COMMENT.sub(lambda match: match[1] or " ", statement.text)
    return " ".join(bare.split()).rstrip("; ") + ";"


def replaced(statement: Statement, pattern: str, by: str) -> str:
    """The statement with the first match of ``pattern`` (case ignored) replaced."""
    return re.sub(pattern, by, as_sql(statement), count=1, flags=re.IGNORECASE)


def column_of(statement: Statement, pattern: str) -> str:
    """The column that ``pattern`` (``{name}`` stands for it, case ignored) finds in the statement, else ``""``."""
    match = re.search(pattern.format(name=r'(?P<name>"(?:[^"]|"")+"|[\w$]+)'), as_sql(statement), re.IGNORECASE)
    if match is None:
        return ""
    name = match["name"]
    return name if name.startswith('"') else quoted(name.lower())


def derived(*names: str) -> str:
    """A new name put together from others: ``users_email_not_null``."""
    return quoted("_".join(last_part(name).replace('"', "") for name in names if name))
