"""What breaks the old release, in words: the statement to blame, what fails, and the order that avoids it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pytest_pgmigrate.checks._common import first_line, last_part, short, top
from pytest_pgmigrate.checks._sql import derived, qualified, quoted
from pytest_pgmigrate.model.compat import Break, CompatEvidence, Refused
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.migration import Direction, Place, Statement
from pytest_pgmigrate.registry import Observation

SIDE_BY_SIDE = "while both releases serve, or when only the application is rolled back"
LATER = "in a migration of a later release that says -- pgmigrate: contract, needs={version} <reason>"

_TELLING = {
    "renamed": r"\bRENAME\b|\bSET\s+SCHEMA\b",
    "dropped": r"\bDROP\b|\bRENAME\b",
    "call": r"\bFUNCTION\b|\bPROCEDURE\b|\bDROP\b|\bRENAME\b|\bTYPE\b",
    "delete": r"\bREFERENCES\b|\bTRIGGER\b",
}
_BY_STATE = {
    "23502": r"\bNOT\s+NULL\b|\bDROP\s+DEFAULT\b|\bPRIMARY\s+KEY\b",
    "23514": r"\bCHECK\b|\bDOMAIN\b",
    "23505": r"\bUNIQUE\b|\bPRIMARY\s+KEY\b",
    "23503": r"\bREFERENCES\b",
    "428C9": r"\bGENERATED\b",
    "P0001": r"\bTRIGGER\b|\bFUNCTION\b",
}


def breaks(evidence: MigrationEvidence, direction: Direction = Direction.UP) -> Iterator[Break]:
    """What the drill found to break by the up, or after the down."""
    compat = evidence.drilled(CompatEvidence)
    for one in compat.breaks if compat is not None else ():
        if one.direction is direction:
            yield one


def blamed(evidence: MigrationEvidence, one: Break) -> Statement | None:
    """The statement of the up that breaks it, by the names and words it is written with; None when none fits."""
    every = evidence.migration.up.statements
    pattern = _TELLING.get(one.cause) or _pattern(one)
    said = [first.message for first in (*one.statements, *one.queries)]
    names = [last_part(name) for name in (one.subject, one.object, one.now) if name]
    table = last_part(one.relation)
    ranked = sorted(every, key=lambda s: -_score(s.text.lower(), names, table, pattern, said))
    return ranked[0] if ranked and _score(ranked[0].text.lower(), names, table, pattern, said) > 0 else None


def _pattern(one: Break) -> str:
    state = (*one.statements, *one.queries)[0].sqlstate if one.statements or one.queries else ""
    if state not in _BY_STATE and one.type_now and one.type_before != one.type_now:
        return r"\bTYPE\b"
    return _BY_STATE.get(state, "")


def _score(text: str, names: Iterable[str], table: str, pattern: str, said: Iterable[str]) -> int:
    score = 4 if pattern and re.search(pattern, text, re.IGNORECASE) else 0
    score += sum(2 for name in names if re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", text))
    score += 1 if table and re.search(rf"(?<![\w$]){re.escape(table)}(?![\w$])", text) else 0
    quoted_names = {name.lower() for message in said for name in re.findall(r'"([^"]+)"', message)}
    return score + sum(1 for name in quoted_names if name in text)


def where(evidence: MigrationEvidence, one: Break) -> Place:
    """Where the finding stands."""
    statement = blamed(evidence, one)
    return statement.place if statement is not None else top(evidence.migration.up)


def kinds(found: Iterable[Refused]) -> str:
    """``SELECT, INSERT and UPDATE``."""
    names = list(dict.fromkeys(one.kind for one in found))
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def lines(found: Iterable[Refused]) -> tuple[str, ...]:
    """Each statement with what the server says."""
    listed = []
    for one in found:
        where_ = f"{one.file}:{one.line}: " if one.file else ""
        count = f" ({one.refused} of {one.tried} rows)" if one.tried > 1 else ""
        # "Failing row contains …" only says again what the statement writes.
        detail = f" ({first_line(one.detail, 120)})" if one.detail and one.sqlstate not in ("23502", "23514") else ""
        listed.append(f"{where_}{first_line(one.sql, 160)} → {one.message}{detail}{count}")
    return tuple(listed)


def observation(
    evidence: MigrationEvidence, one: Break, message: str, *, effect: str = "", fix: str = ""
) -> Observation:
    """A finding about one break; effect and fix as its cause has them unless given."""
    said = (*one.queries, *one.statements)
    return Observation(
        place=where(evidence, one),
        message=message,
        effect=effect or f"every such statement of the old release fails {SIDE_BY_SIDE}",
        fix=fix or remedy(evidence, one),
        observed={
            "cause": one.cause,
            "object": one.object,
            "statements": [found.sql for found in one.statements],
            "queries": [f"{found.file}:{found.line}" for found in one.queries],
            "sqlstate": said[0].sqlstate if said else "",
            "message": said[0].message if said else "",
        },
        details=lines(said),
    )


def server_words(one: Break) -> str:
    """What the server says to the first statement."""
    said = (*one.statements, *one.queries)
    return said[0].message if said else ""


# -- the order that avoids it -------------------------------------------------------------------------------------------


def remedy(evidence: MigrationEvidence, one: Break) -> str:
    """Expand and contract, in the user's own names."""
    version = evidence.migration.version
    if one.cause == "renamed":
        return _renamed(one, version)
    if one.cause == "dropped":
        return (
            f"let a release go out first that no longer names {short(one.object)}; then say so here: "
            "-- pgmigrate: contract, needs=<version of the migration that replaced it> <reason>"
        )
    if one.cause == "call":
        return (
            f"keep {one.object} as it was beside the new one until the old release is gone, then drop it "
            + LATER.format(version=version)
        )
    if one.cause == "delete":
        return "give the foreign key ON DELETE CASCADE or SET NULL, or make it once every release that deletes cleans up first"
    if one.cause in ("refused", "value"):
        return _refused(one, version)
    return "keep what the query names until no release sends it, and take it away " + LATER.format(version=version)


def _renamed(one: Break, version: str) -> str:
    old, new = quoted(last_part(one.object)), quoted(last_part(one.now))
    table = qualified(one.relation) if one.relation else ""
    if one.kind == "column":
        return (
            f"expand: ALTER TABLE {table} ADD COLUMN {new} {one.type_before}; write {old} and {new} (a trigger, or the new "
            f"release), copy the old values in batches, read {new}; drop {old} " + LATER.format(version=version)
        )
    if one.kind == "function":
        return f"keep a function {old} that calls {new}, and drop it " + LATER.format(version=version)
    return (
        f"keep the old name in the same transaction: CREATE VIEW {qualified(one.object)} AS SELECT * FROM "
        f"{qualified(one.now)}; and drop the view " + LATER.format(version=version)
    )


def _refused(one: Break, version: str) -> str:
    table, column = qualified(one.relation), quoted(last_part(one.object))
    state = one.statements[0].sqlstate if one.statements else ""
    later = LATER.format(version=version)
    if one.value:
        what = "writes a value into" if one.value == "NULL" else "names"
        return (
            f"see that the release before always {what} {qualified(one.relation)}.{column} when it inserts; then say so here: "
            "-- pgmigrate: contract, needs=<version after which it does> <reason>"
        )
    if state == "23502":
        return (
            f"give it a default until the old release is gone: ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT "
            f"<value>; or let it be NULL and, {later}: ADD CONSTRAINT {derived(one.relation, column, 'not_null')} CHECK "
            f"({column} IS NOT NULL) NOT VALID, VALIDATE it, SET NOT NULL"
        )
    if one.type_now and one.type_before and one.type_now != one.type_before:
        new = derived(column, "new")
        return (
            f"expand: ALTER TABLE {table} ADD COLUMN {new} {one.type_now}; write {column} and {new}, copy the old values in "
            f"batches, read {new}; drop {column} {later}"
        )
    if state == "23514":
        name = quoted(one.subject) if one.subject else "the CHECK"
        return f"let {name} accept what the old release writes as well; make it strict {later}"
    if state == "23503":
        return (
            f"let the new release write the other table first; make {quoted(one.subject)} {later}"
            if one.subject
            else f"make the foreign key {later}"
        )
    if state == "428C9":
        new = derived(column, "new")
        return f"make the generated column beside {column}, e.g. {new}, and drop {column} {later}"
    return f"let {table} take what the old release writes until it is gone; make it strict {later}"
