"""The user's own queries as statements: run under EXPLAIN, which brings no rows back and refuses what is no query.

https://www.postgresql.org/docs/current/sql-explain.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.blocking.parameters import numbered
from pytest_pgmigrate.execution.blocking.statements import AppStatement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_pgmigrate.execution.blocking.queries import AppQuery

# Runs the query, triggers included, and throws its rows away.
_RUN = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) "
# Only plans: takes the locks on relations, but runs no trigger. https://www.postgresql.org/docs/16/sql-explain.html
_PLAN = "EXPLAIN (GENERIC_PLAN) "
GENERIC_PLAN_SINCE = 160000


def statements_from(queries: Sequence[AppQuery], server_version: int) -> tuple[list[AppStatement], list[str]]:
    """Statements for the queries that can be sent, and a note for each that cannot or not fully."""
    statements: list[AppStatement] = []
    notes: list[str] = []
    for query in queries:
        text, parameters = numbered(query.sql)
        reason = query.problem or ("" if text.strip().strip(";") else "it holds no query")
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
        statements.append(AppStatement(query.label, text, query.label, file=query.file, acts=True, prefix=prefix))
    return statements, notes
