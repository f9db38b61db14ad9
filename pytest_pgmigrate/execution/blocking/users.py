"""The user's own queries as statements: run under EXPLAIN, which brings no rows back and refuses what is no query.

https://www.postgresql.org/docs/current/sql-explain.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pytest_pgmigrate.execution.blocking.parameters import numbered
from pytest_pgmigrate.execution.blocking.statements import AppStatement, Rule
from pytest_pgmigrate.model.locks import Mode

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import psycopg

    from pytest_pgmigrate.execution.blocking.queries import AppQuery

# Runs the query, triggers included, and throws its rows away.
_RUN = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) "
# Only plans: takes the locks on relations, but runs no trigger. https://www.postgresql.org/docs/16/sql-explain.html
_PLAN = "EXPLAIN (GENERIC_PLAN, FORMAT JSON) "
GENERIC_PLAN_SINCE = 160000

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def statements_from(queries: Sequence[AppQuery], server_version: int) -> tuple[list[AppStatement], list[str]]:
    """Statements for the queries that can be sent, and a note for each that cannot or not fully."""
    statements: list[AppStatement] = []
    notes: list[str] = []
    for query in queries:
        text, parameters = numbered(query.sql)
        reason = query.problem or ("" if _COMMENTS.sub("", text).strip("; \t\r\n") else "it holds no query")
        if not reason and parameters and server_version < GENERIC_PLAN_SINCE:
            reason = "it has parameters, and only PostgreSQL 16 and later can plan it without their values"
        if reason:
            notes.append(f"{query.label} ({query.file}) was left out: {reason}")
            continue
        if parameters:
            notes.append(
                f"{query.label} ({query.file}) has parameters: it is planned, not run;"
                " what its foreign keys and triggers lock is not known"
            )
        prefix = _PLAN if parameters else _RUN
        statements.append(
            AppStatement(
                query.label, text, query.label, file=query.file, acts=True, prefix=prefix, parameters=parameters
            )
        )
    return statements, notes


def checked_keys(plan: str) -> frozenset[tuple[str, str]]:
    """Table (unqualified) and name of every constraint whose trigger ran, from EXPLAIN's JSON."""
    shown = json.loads(plan)[0].get("Triggers", ()) if plan.startswith("[") else ()
    return frozenset((t["Relation"], t["Constraint Name"]) for t in shown if "Constraint Name" in t)


# A constraint's trigger runs on both tables of a foreign key: here, only as a check of the referencing one.
_CHECKED = b"""
SELECT DISTINCT k.confrelid::int8
FROM unnest(%s::text[], %s::text[]) AS t(relation, name)
JOIN pg_constraint k ON k.conname = t.name AND k.contype = 'f' AND k.conrelid = ANY (%s::oid[])
JOIN pg_class c ON c.oid = k.conrelid AND c.relname = t.relation
"""


def rules_of(
    connection: psycopg.Connection[Any], keys: Collection[tuple[str, str]], written: Collection[int]
) -> tuple[Rule, ...]:
    """The locks of foreign keys that were checked: for a NULL they are taken and given back before one can look."""
    relations, names = [relation for relation, _ in keys], [name for _, name in keys]
    rows = connection.execute(_CHECKED, (relations, names, list(written))).fetchall()
    return tuple(Rule(table, Mode.ROW_SHARE) for (table,) in rows)
