"""A migration file is not text that a server can parse: an unclosed quote or comment, a psql command, a byte order mark."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Defect, History
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _observation(defect: Defect, migration: str) -> Observation:
    return Observation(
        place=defect.place,
        message=defect.message,
        effect="the server would refuse the file or read it otherwise than it looks, so nothing of this migration was run",
        fix=defect.fix,
        observed={"defect": defect.kind},
        migration=migration,
    )


@check("PMG110", "broken-sql-text", part=Part.HISTORY, severity=Severity.ERROR)
def broken_sql_text(history: History, settings: Settings) -> Iterator[Observation]:
    """A migration file is not text that a server can parse: an unclosed quote or comment, a psql command, a byte order mark.

    Why it matters:
    psql commands and inline COPY data only work in psql; an unclosed quote swallows the rest of the file, the
    statements after it included.

    How it is measured:
    By a lexer that follows PostgreSQL's own rules.

    How to fix:
    Close the quote or comment; replace psql commands and COPY data by plain SQL.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/sql-syntax-lexical.html
    """
    for migration in history.migrations:
        for script in (migration.up, migration.down):
            for defect in script.defects if script else ():
                if defect.kind in ("lexical", "bom"):
                    yield _observation(defect, migration.key)
    for script in history.orphans:
        for defect in script.defects:
            if defect.kind in ("lexical", "bom"):
                yield _observation(defect, "")
