"""What the drill ``compat`` saw: statements of the release before that no longer work. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_pgmigrate.model.migration import Direction


@dataclass(frozen=True, slots=True)
class Refused:
    """A statement that worked at version n-1 and fails now, with what the server says.

    ``kind`` is SELECT, INSERT, UPDATE, DELETE, CALL, or QUERY for one of the user's files (then ``file`` and ``line``).
    ``refused`` of ``tried`` rows were refused.
    """

    kind: str
    sql: str
    sqlstate: str
    message: str
    detail: str = ""
    constraint: str = ""
    column: str = ""
    refused: int = 1
    tried: int = 1
    file: str = ""
    line: int = 1

    @property
    def about_names(self) -> bool:
        """Undefined table, column, function or type: something that the statement names is not there.

        https://www.postgresql.org/docs/current/errcodes-appendix.html
        """
        return self.sqlstate in ("42P01", "42703", "42883", "42704", "3F000")


@dataclass(frozen=True, slots=True)
class Break:
    """One cause, and the statements of the old release that fail by it.

    ``cause`` is ``renamed`` (``now`` is the new name), ``dropped``, ``refused`` (no plausible row is taken),
    ``value`` (some values are refused that were taken before), ``delete``, ``call`` (a function), ``query`` (only a
    query of the user's fails). ``object`` is ``schema.table``, ``schema.table.column``, or a function's signature;
    ``relation`` the table it belongs to; ``subject`` what refuses: a constraint's or column's name, or "".
    """

    cause: str
    kind: str
    object: str
    relation: str
    statements: tuple[Refused, ...]
    queries: tuple[Refused, ...] = ()
    now: str = ""
    subject: str = ""
    type_before: str = ""
    type_now: str = ""
    value: str = ""
    """For ``value``: what is refused, ``NULL`` or ``left out`` (its default is relied on)."""

    direction: Direction = Direction.UP
    """``DOWN``: it works, or failed too, at version n, and fails after the down."""


@dataclass(frozen=True, slots=True)
class Reshaped:
    """A result whose columns are others than before: ``SELECT *`` of a table, or a query file (``file``).

    ``plan`` is what the server says to a session that prepared it before the migration.
    """

    relation: str
    plan: str
    file: str = ""
    line: int = 1


@dataclass(frozen=True, slots=True)
class Unusable:
    """A query file that does not work at version n-1, with the server's words and where in the file."""

    file: str
    line: int
    message: str
    name: str
    """File and line in which the query begins."""


@dataclass(frozen=True, slots=True)
class CompatEvidence:
    """The old release on the new schema. ``tried`` statements worked at version n-1 and were tried again."""

    tried: int = 0
    breaks: tuple[Break, ...] = ()
    reshaped: tuple[Reshaped, ...] = ()
    usable: tuple[str, ...] = ()
    """Names (file and first line) of the queries that work at version n-1."""

    unusable: tuple[Unusable, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be tried, in words."""
