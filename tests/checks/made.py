"""Evidence made by hand, so that one check at a time can be judged without a server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pytest_pgmigrate import registry
from pytest_pgmigrate.model.evidence import MigrationEvidence, SequenceBehind, ServerError, Step
from pytest_pgmigrate.model.finding import Finding
from pytest_pgmigrate.model.migration import (
    Chunk,
    Defect,
    Direction,
    Directive,
    FileEntry,
    History,
    Migration,
    Place,
    Record,
    Script,
    Statement,
    TransactionRule,
)
from pytest_pgmigrate.model.state import Difference, ObjectChange, ObjectKey
from pytest_pgmigrate.options import Settings

CHECKS = {check.code: check for check in registry.load_checks()}
FOLDER = "db/migrations"


def said(
    text: str, line: int = 1, *kinds: str, relations: Iterable[str] = (), creates: Iterable[str] = ()
) -> Statement:
    """One statement; its file is set by ``script``."""
    return Statement(text, 0, len(text), Place("", line, 1), kinds or ("?",), tuple(relations), tuple(creates))


def script(
    name: str,
    *statements: Statement,
    directives: Iterable[Directive] = (),
    defects: Iterable[Defect] = (),
    checksum: str = "a" * 64,
) -> Script:
    """A file of the folder ``db/migrations``."""
    file = f"{FOLDER}/{name}"
    placed = tuple(replace(s, place=replace(s.place, file=file)) for s in statements)
    text = ";\n".join(s.text for s in statements)
    own = tuple(replace(d, place=replace(d.place, file=file)) for d in directives)
    found = tuple(replace(d, place=replace(d.place, file=file)) for d in defects)
    chunk = Chunk(text, file, TransactionRule.IMPLICIT, placed)
    return Script(file, f"/shop/{file}", checksum, (chunk,), own, found)


def directive(word: str, *args: str, reason: str = "agreed", line: int = 1, statement: int | None = None) -> Directive:
    """A directive; its file is set by ``script``."""
    return Directive(word, args, reason, Place("", line, 1), statement)


def migration(
    version: str = "000002",
    name: str = "add_note",
    *,
    up: Script | None = None,
    down: Script | bool | None = True,
    index: int = 1,
) -> Migration:
    """A migration; ``down`` True makes one, None or False leaves it out."""
    key = f"{version}_{name}"
    up = up or script(f"{key}.up.sql", said("ALTER TABLE orders ADD COLUMN note TEXT", 1, creates=["orders.note"]))
    if down is True:
        down = script(f"{key}.down.sql", said("ALTER TABLE orders DROP COLUMN note", 1, relations=["orders"]))
    return Migration(version, name, up, down or None, index)


def history(*migrations: Migration, record: Record | None = None, more: Iterable[FileEntry] = ()) -> History:
    """A history of these migrations and of further files."""
    record = record or Record("none", "")
    return History(FOLDER, f"/shop/{FOLDER}", "golang-migrate", migrations, tuple(more), record)


def error(sqlstate: str, message: str, at: Statement | None = None, **more: str) -> ServerError:
    """What a server said, at a statement of a script or on line 1 of nowhere."""
    return ServerError(sqlstate, message, at.place if at else Place(f"{FOLDER}/x.sql"), statement=at, **more)


def step(
    direction: Direction = Direction.UP,
    *,
    name: str = "",
    problem: ServerError | None = None,
    difference: Difference | None = None,
    **more: Any,
) -> Step:
    """One pass that ran."""
    return Step(name or direction.value, direction, True, error=problem, difference=difference or Difference(), **more)


def clean(subject: Migration | None = None, **more: Any) -> MigrationEvidence:
    """A migration that did everything right, but for what ``more`` says."""
    subject = subject or migration()
    passes = {
        "up": step(),
        "down": step(Direction.DOWN) if subject.down else None,
        "again": step(name="up again") if subject.down else None,
        "rerun": step(name="up without a down"),
        "changed": Difference((extra("column", "public.orders.note", "public.orders"),)),
    }
    return MigrationEvidence(subject, **{"status": "examined", **passes, **more})


def failed(subject: Migration, problem: ServerError, **more: Any) -> MigrationEvidence:
    """A migration whose up failed."""
    difference = more.pop("difference", Difference())
    up = step(problem=problem, difference=difference)
    return MigrationEvidence(subject, **{"status": "failed", "up": up, **more})


def extra(kind: str, name: str, relation: str = "") -> ObjectChange:
    """An object that should not be there."""
    return ObjectChange(ObjectKey(kind, name, relation), "extra")


def missing(kind: str, name: str, relation: str = "") -> ObjectChange:
    """An object that should be there."""
    return ObjectChange(ObjectKey(kind, name, relation), "missing")


def changed(kind: str, name: str, attribute: str, old: object, new: object, relation: str = "") -> ObjectChange:
    """An object with another attribute."""
    return ObjectChange(ObjectKey(kind, name, relation), "changed", attribute, old, new)


def behind(sequence: str, table: str, column: str, following: int, taken: int, furthest: int) -> SequenceBehind:
    """A sequence that will give an id which is taken."""
    return SequenceBehind(sequence, table, column, following, taken, furthest)


def findings(code: str, evidence: Any, **settings: Any) -> list[Finding]:
    """What one check says to one piece of evidence."""
    key = evidence.migration.key if isinstance(evidence, MigrationEvidence) else ""
    return list(CHECKS[code].judge(evidence, key, Settings(**settings)))


def only(code: str, evidence: Any, **settings: Any) -> Finding:
    """The single finding of one check."""
    found = findings(code, evidence, **settings)
    assert len(found) == 1, [f.message for f in found]
    assert found[0].code == code
    assert found[0].effect
    assert found[0].fix
    return found[0]


def where(finding: Finding) -> tuple[str, int]:
    """File name and line of a finding."""
    return finding.place.file.rsplit("/", 1)[-1], finding.place.line
