"""What room 1 hands over: a history of migrations, read from files and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Place:
    """A position in one of the user's files; ``file`` is relative to pytest's rootdir, line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Direction(str, Enum):
    """Which of a migration's two scripts."""

    UP = "up"
    DOWN = "down"


class TransactionRule(str, Enum):
    """How a migration tool sends one chunk to the server."""

    IMPLICIT = "implicit"
    """One simple query; several statements form an implicit transaction (golang-migrate)."""

    EXPLICIT = "explicit"
    """One simple query between the tool's own BEGIN and COMMIT (dbmate, sqlx, diesel)."""

    NONE = "none"
    """Statement by statement in autocommit (``-- pgmigrate: no-transaction``)."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement of a chunk.

    ``start`` and ``end`` are character offsets into the chunk's text; ``kinds`` comes from the classifier, e.g.
    ``("ALTER TABLE: AddColumn (plain)",)``, an unknown one starts with ``?``; ``relations`` and ``creates`` are the
    names as written (lower-cased unless quoted), the first the objects it is about, the second those it would make:
    ``"users"``, ``"users.phone"`` for a column, ``"idx_users_email"``.
    """

    text: str
    start: int
    end: int
    place: Place
    kinds: tuple[str, ...]
    relations: tuple[str, ...] = ()
    creates: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The first kind: enough for every statement but an ALTER TABLE with several actions."""
        return self.kinds[0] if self.kinds else "?"


@dataclass(frozen=True, slots=True)
class Chunk:
    """The exact text the user's own tool sends to the server in one go, with its transaction rule."""

    text: str
    file: str
    rule: TransactionRule
    statements: tuple[Statement, ...] = ()
    base: int = 0
    """Character offset of ``text`` in its file."""

    line_starts: tuple[int, ...] = (0,)
    """Character offsets of the file's lines, so that an offset becomes a place."""

    def place(self, offset: int) -> Place:
        """Where character ``offset`` (from 0, in this chunk) stands in the file."""
        from bisect import bisect_right

        position = self.base + offset
        line = bisect_right(self.line_starts, position)
        return Place(self.file, line, position - self.line_starts[line - 1] + 1)


@dataclass(frozen=True, slots=True)
class Directive:
    """A ``-- pgmigrate: word[args] reason`` comment.

    ``statement`` is the index (in its script) of the statement that follows it, None when the whole file is meant or
    nothing follows.
    """

    word: str
    args: tuple[str, ...]
    reason: str
    place: Place
    statement: int | None = None
    reason_at: Place | None = None
    """Where the reason begins: of ``verify``, its SQL."""


@dataclass(frozen=True, slots=True)
class Defect:
    """Something that makes a file unusable before a server sees it.

    ``kind`` is one of ``unreadable`` (I/O, binary, not UTF-8), ``template`` (unresolved placeholder), ``lexical``
    (unterminated quote or comment, psql meta-command, inline COPY data), ``bom``, ``directive`` (malformed directive).
    """

    kind: str
    place: Place
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Script:
    """One direction of one migration: the file, what it holds, and what is wrong with it as text."""

    file: str
    path: str
    """Absolute path, for reading only."""

    checksum: str
    """SHA-256 of the file's bytes, hexadecimal."""

    chunks: tuple[Chunk, ...] = ()
    directives: tuple[Directive, ...] = ()
    defects: tuple[Defect, ...] = ()

    @property
    def statements(self) -> tuple[Statement, ...]:
        """All statements in file order."""
        return tuple(s for chunk in self.chunks for s in chunk.statements)

    @property
    def blank(self) -> bool:
        """True when the file holds no statement at all (comments only)."""
        return not self.statements and not any(d.kind != "directive" for d in self.defects)

    @property
    def sendable(self) -> bool:
        """False when a defect says that no tool could send this file as it is."""
        return not any(d.kind in ("unreadable", "template", "lexical", "bom") for d in self.defects)

    def directive(self, word: str) -> Directive | None:
        """The first directive with this word, or None."""
        return next((d for d in self.directives if d.word == word), None)


@dataclass(frozen=True, slots=True)
class Migration:
    """One version of a history. ``key`` is unique in the history even when two files share a version."""

    version: str
    name: str
    up: Script
    down: Script | None
    index: int
    """Position in the history, from 0."""

    judged: bool = True
    """False when only applied (``--pgmigrate-since``)."""

    @property
    def key(self) -> str:
        """``version_name``, as in the file name."""
        return f"{self.version}_{self.name}" if self.name else self.version

    @property
    def sendable(self) -> bool:
        """Whether the up can be sent to a server at all."""
        return self.up.sendable

    def irreversible(self) -> tuple[Directive, ...]:
        """Every ``irreversible`` directive of both directions."""
        scripts = [self.up] if self.down is None else [self.up, self.down]
        return tuple(d for s in scripts for d in s.directives if d.word == "irreversible")


@dataclass(frozen=True, slots=True)
class Invariant:
    """SQL of the user that must return no rows, from migration ``first`` to ``last`` (indexes, both included).

    ``label`` is how messages call it, ``place`` where the SQL begins. ``declared``: the user said from which version on;
    otherwise it is expected as soon as its tables are there. ``problem`` says why it cannot be used at all.
    """

    sql: str
    label: str
    place: Place
    first: int = 0
    last: int | None = None
    declared: bool = True
    problem: str = ""

    def holds_at(self, index: int) -> bool:
        """Whether it is to hold at the version of this migration; -1 is the empty database."""
        return not self.problem and 0 <= self.first <= index and (self.last is None or index <= self.last)

    def at(self, offset: int) -> Place:
        """Where character ``offset`` of the SQL, from 0, stands in the user's file."""
        before = self.sql[:offset]
        line = before.count("\n")
        column = offset - before.rfind("\n") if line else self.place.column + offset
        return Place(self.place.file, self.place.line + line, column)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file seen in a history's folder.

    ``role`` is ``up``, ``down``, ``orphan-down`` or ``unknown`` (a ``.sql`` file whose name follows no convention).
    """

    file: str
    path: str
    role: str
    version: str | None
    name: str | None
    judged: bool = True


@dataclass(frozen=True, slots=True)
class Recorded:
    """One row of the ledger that the user's production database keeps: what was applied there."""

    version: str
    filename: str | None
    checksum: str | None
    applied_at: str | None = None
    success: bool = True


@dataclass(frozen=True, slots=True)
class Record:
    """What is known about the past, against which edited and out-of-order files are judged.

    ``source`` is ``ledger`` (``pgmigrate_ledger``), ``git`` (the merge-base) or ``none``; ``detail`` names the file,
    DSN host or commit. With ``git``, ``checksum`` is that of the file's bytes at the merge-base.
    """

    source: str
    detail: str
    rows: tuple[Recorded, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """The ordered migrations of one folder."""

    folder: str
    """Relative to rootdir, POSIX separators."""

    path: str
    format: str
    migrations: tuple[Migration, ...]
    files: tuple[FileEntry, ...]
    record: Record = Record("none", "")
    orphans: tuple[Script, ...] = ()
    """Down files without an up, parsed as far as they can be."""

    invariants: tuple[Invariant, ...] = ()
    """What the user says must hold: ``verify`` directives and ``pgmigrate_verify`` files."""
