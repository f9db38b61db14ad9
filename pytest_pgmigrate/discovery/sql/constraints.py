"""Names of constraints and of the tables they refer to, and how names of parts and siblings are put together."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.discovery.sql.cursor import Cursor


def part(relation: str, name: str) -> str:
    """``users`` and ``phone`` give ``users.phone``."""
    return f"{relation}.{name}" if relation and name else ""


def sibling(name: str, new: str) -> str:
    """The new name in the schema of the old one: ``app.users`` renamed to ``people`` is ``app.people``."""
    schema, dot, _ = name.rpartition(".")
    return f"{schema}{dot}{new}" if new else ""


def constraint_names(cursor: Cursor) -> Iterator[str]:
    """Names given by ``CONSTRAINT name`` in a column or constraint list, outside its inner parentheses."""
    for index, word in cursor.outer():
        if word == "CONSTRAINT":
            yield Cursor(cursor.text, cursor.tokens, index + 1).name()


def referenced(cursor: Cursor) -> Iterator[str]:
    """Tables behind REFERENCES (foreign keys) and LIKE, outside inner parentheses."""
    for index, word in cursor.outer():
        # A column definition holds LIKE only inside CHECK (…) or an expression, so outside it is the LIKE clause.
        if word in ("REFERENCES", "LIKE"):
            yield Cursor(cursor.text, cursor.tokens, index + 1).name()
