"""SQL for the fixes that lock checks advise: the user's names as SQL takes them, and writes turned into batches."""

from __future__ import annotations

import re

from pytest_pgmigrate.checks._common import last_part, short
from pytest_pgmigrate.model.migration import Statement

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


def column_of(said: Statement | str, pattern: str) -> str:
    """The name that ``pattern`` (``{name}`` stands for it, case ignored) finds in a statement or its SQL, else ``""``."""
    sql = said if isinstance(said, str) else as_sql(said)
    match = re.search(pattern.format(name=r'(?P<name>"(?:[^"]|"")+"|[\w$]+)'), sql, re.IGNORECASE)
    if match is None:
        return ""
    name = match["name"]
    return name if name.startswith('"') else quoted(name.lower())


def derived(*names: str) -> str:
    """A new name put together from others: ``users_email_not_null``."""
    return quoted("_".join(last_part(name).replace('"', "") for name in names if name))


BATCH = 10_000
"""Rows of one batch in the advice."""

_UPDATE = re.compile(
    r"\s*UPDATE\s+(?:ONLY\s+)?(?P<table>[^\s(]+)\s+SET\s+(?P<set>.+?)(?:\s+WHERE\s+(?P<where>.+?))?;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_DELETE = re.compile(
    r"\s*DELETE\s+FROM\s+(?:ONLY\s+)?(?P<table>[^\s(;]+)(?:\s+WHERE\s+(?P<where>.+?))?;?\s*", re.IGNORECASE | re.DOTALL
)
_CHANGING = re.compile(
    r"\b(now|random|nextval|gen_random\w*|uuid\w*|\w*_timestamp|localtime\w*|current_\w+)\b", re.IGNORECASE
)
_JOINED = re.compile(r"\b(FROM|USING|RETURNING|WITH)\b", re.IGNORECASE)


def batched(statement: Statement) -> str:
    """The same write in batches that commit, as one DO block in the user's names; "" where the text is not simple.

    A transaction of its own lets DO commit: https://www.postgresql.org/docs/current/plpgsql-transactions.html
    """
    text = as_sql(statement).rstrip(";")
    if (found := _UPDATE.fullmatch(text)) and not _JOINED.search(found["set"]):
        left = _still_to_do(found["set"])
        where = f"({found['where']}) AND {left}" if found["where"] and left else left
        head = f"UPDATE {found['table']} SET {found['set']}"
    elif (found := _DELETE.fullmatch(text)) and not _JOINED.search(found["where"] or ""):
        where, head = found["where"] or "true", f"DELETE FROM {found['table']}"
    else:
        return ""
    if not where:
        return ""
    rows = f"SELECT ctid FROM {found['table']} WHERE {where} LIMIT {BATCH}"
    loop = f"{head} WHERE ctid = ANY (ARRAY({rows})); EXIT WHEN NOT FOUND; COMMIT;"
    return f"DO $$ BEGIN LOOP {loop} END LOOP; END $$;"


def _still_to_do(assignments: str) -> str:
    """Which rows an UPDATE of one column has not reached yet; "" where its end could not be told by the values."""
    column, _, value = (part.strip() for part in assignments.partition("="))
    if not re.fullmatch(r'\w+|"[^"]+"', column) or "," in re.sub(r"\([^()]*\)|'[^']*'", "", value):
        return ""
    if re.search(rf"(?<![\w$]){re.escape(column)}(?![\w$])", value) or _CHANGING.search(value):
        return ""
    simple = re.fullmatch(r"[\w.]+|'[^']*'", value)
    return f"{column} IS DISTINCT FROM {value if simple else f'({value})'}"
