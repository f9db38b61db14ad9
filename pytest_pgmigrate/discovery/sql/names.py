"""The objects that a statement is about, and those it would make, as far as its text tells.

Names are as written, lower-cased unless quoted, with the schema when there is one. A part of a table is named
``table.part``: ``users.phone``, ``users.users_email_check``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pytest_pgmigrate.discovery.sql.constraints import constraint_names, part, referenced
from pytest_pgmigrate.discovery.sql.cursor import Cursor
from pytest_pgmigrate.discovery.sql.names_alter import alter_names
from pytest_pgmigrate.discovery.sql.objects import take_object

_PLAIN_CREATES = (
    "VIEW", "MATVIEW", "SEQUENCE", "FUNCTION", "PROCEDURE", "AGGREGATE", "TYPE", "DOMAIN", "EXTENSION", "COLLATION",
    "CONVERSION", "PUBLICATION", "SUBSCRIPTION", "STATISTIC_EXT", "FOREIGN_SERVER", "EVENT_TRIGGER", "DATABASE",
    "TABLESPACE", "ROLE", "USER", "GROUP", "FDW", "LANGUAGE", "ACCESS_METHOD", "OPCLASS", "OPFAMILY",
)  # fmt: skip
_ON_RELATION = ("TRIGGER", "POLICY", "RULE")
_RELATION_OBJECTS = ("TABLE", "VIEW", "MATVIEW", "FOREIGN_TABLE", "SEQUENCE", "INDEX")


@dataclass(slots=True)
class Names:
    """What ``names`` found; in the order of the text, without repetition."""

    relations: list[str] = field(default_factory=list)
    creates: list[str] = field(default_factory=list)

    def about(self, *names: str) -> None:
        """Add relations."""
        self.relations.extend(n for n in names if n and n not in self.relations)

    def makes(self, *names: str) -> None:
        """Add objects that would be made."""
        self.creates.extend(n for n in names if n and n not in self.creates)


def names(cursor: Cursor) -> Names:
    """The names in the statement under a fresh cursor."""
    found = Names()
    word = cursor.word()
    cursor.index += 1
    if word == "ALTER":
        relations, creates = alter_names(cursor)
        found.about(*relations)
        found.makes(*creates)
    elif rule := _RULES.get(word):
        rule(cursor, found)
    return found


def _create(cursor: Cursor, found: Names) -> None:
    cursor.take("OR", "REPLACE")
    cursor.take_any("CONSTRAINT", "DEFAULT")
    while cursor.take_any("GLOBAL", "LOCAL", "TEMP", "TEMPORARY", "UNLOGGED", "RECURSIVE", "UNIQUE"):
        pass
    kind = take_object(cursor)
    if kind == "INDEX":
        _create_index(cursor, found)
        return
    cursor.take_if_exists()
    if kind in ("TABLE", "FOREIGN_TABLE"):
        _create_table(cursor, found)
    elif kind == "SCHEMA":
        name = "" if cursor.word() == "AUTHORIZATION" else cursor.name()
        found.makes(name or (cursor.name() if cursor.take("AUTHORIZATION") else ""))
    elif kind in _ON_RELATION:
        _create_on_relation(kind, cursor, found)
    elif kind in _PLAIN_CREATES or kind.startswith("TS"):
        found.makes(cursor.name())


def _create_index(cursor: Cursor, found: Names) -> None:
    cursor.take("CONCURRENTLY")
    cursor.take_if_exists()
    name = "" if cursor.word() == "ON" else cursor.name()
    if cursor.take("ON"):
        found.about(cursor.relation())
    found.makes(name)


def _create_table(cursor: Cursor, found: Names) -> None:
    table = cursor.name()
    found.about(table)
    found.makes(table)
    if cursor.take("PARTITION", "OF"):
        found.about(cursor.name())
    if cursor.word() == "(":
        body = cursor.inside()
        found.makes(*(part(table, name) for name in constraint_names(body)))
        found.about(*referenced(body))
        cursor.skip_parentheses()
    if cursor.take("INHERITS") and cursor.word() == "(":
        found.about(*(item.name() for item in cursor.inside().items()))


def _create_on_relation(kind: str, cursor: Cursor, found: Names) -> None:
    name = cursor.name()
    stop = "TO" if kind == "RULE" else "ON"  # CREATE RULE r AS ON INSERT TO t
    for index, word in cursor.outer():
        if word == stop:
            cursor.index = index + 1
            relation = cursor.relation()
            found.about(relation)
            found.makes(part(relation, name))
            return


def _drop(cursor: Cursor, found: Names) -> None:
    kind = take_object(cursor)
    cursor.take("CONCURRENTLY")
    cursor.take_if_exists()
    if kind in _ON_RELATION:
        cursor.name()
        if cursor.take("ON"):
            found.about(cursor.relation())
        return
    if not kind or kind in ("CAST", "USER_MAPPING", "TRANSFORM", "OPERATOR"):
        return
    found.about(*(item.name() for item in cursor.items()))


def _insert(cursor: Cursor, found: Names) -> None:
    if cursor.take("INTO"):
        found.about(cursor.name())


def _update(cursor: Cursor, found: Names) -> None:
    found.about(cursor.relation())


def _delete(cursor: Cursor, found: Names) -> None:
    if cursor.take("FROM"):
        found.about(cursor.relation())


def _merge(cursor: Cursor, found: Names) -> None:
    if cursor.take("INTO"):
        found.about(cursor.relation())


def _select(cursor: Cursor, found: Names) -> None:
    for index, word in cursor.outer():
        if word == "INTO":  # SELECT … INTO [TABLE] new_table
            cursor.index = index + 1
            while cursor.take_any("TEMPORARY", "TEMP", "UNLOGGED", "TABLE"):
                pass
            found.makes(cursor.name())
            return


def _with(cursor: Cursor, found: Names) -> None:
    verbs = {"INSERT": _insert, "UPDATE": _update, "DELETE": _delete, "MERGE": _merge}
    for start, word in cursor.outer():
        if word in verbs or word in ("SELECT", "VALUES", "TABLE"):
            verbs.get(word, _select)(Cursor(cursor.text, cursor.tokens, start + 1), found)
            break
    # Data-modifying WITH queries: AS [NOT MATERIALIZED] ( INSERT …
    for index in range(cursor.index + 1, len(cursor.tokens) - 1):
        before, word = cursor.tokens[index - 1].word, cursor.tokens[index].word
        if before == "(" and word in verbs:
            verbs[word](Cursor(cursor.text, cursor.tokens, index + 1), found)


def _relation_list(cursor: Cursor, found: Names) -> None:
    cursor.take("TABLE")
    found.about(*(item.relation() for item in cursor.items()))


def _copy(cursor: Cursor, found: Names) -> None:
    cursor.take("BINARY")
    found.about(cursor.name())


def _maintenance(cursor: Cursor, found: Names) -> None:
    cursor.skip_parentheses()
    while cursor.take_any("FULL", "FREEZE", "VERBOSE", "ANALYZE", "ANALYSE"):
        pass
    found.about(*(item.relation() for item in cursor.items()))


def _reindex(cursor: Cursor, found: Names) -> None:
    cursor.skip_parentheses()
    if cursor.take_any("INDEX", "TABLE"):
        cursor.take("CONCURRENTLY")
        found.about(cursor.name())


def _refresh(cursor: Cursor, found: Names) -> None:
    cursor.take("MATERIALIZED", "VIEW")
    cursor.take("CONCURRENTLY")
    found.about(cursor.name())


def _cluster(cursor: Cursor, found: Names) -> None:
    cursor.skip_parentheses()
    cursor.take("VERBOSE")
    found.about(cursor.name())


def _comment(cursor: Cursor, found: Names) -> None:
    if not cursor.take("ON"):
        return
    if cursor.take("COLUMN"):
        name, _, _ = cursor.name().rpartition(".")
        found.about(name)
        return
    if cursor.take("CONSTRAINT"):
        cursor.name()
        cursor.take("ON")
        cursor.take("DOMAIN")
        found.about(cursor.name())
        return
    kind = take_object(cursor)
    if kind in _ON_RELATION:
        cursor.name()
        cursor.take("ON")
    found.about(cursor.name())


def _grant(cursor: Cursor, found: Names) -> None:
    for index, word in cursor.outer():
        if word == "ON":
            cursor.index = index + 1
            break
    else:
        return
    if cursor.word() == "ALL":
        return
    take_object(cursor)
    for item in cursor.items():
        found.about(item.name())
        if item.word() in ("TO", "FROM"):  # what follows are roles
            return


def _import(cursor: Cursor, found: Names) -> None:
    found.about(*_after(cursor, "INTO"))


def _after(cursor: Cursor, stop: str) -> Iterator[str]:
    for index, word in cursor.outer():
        if word == stop:
            yield Cursor(cursor.text, cursor.tokens, index + 1).name()
            return


_RULES: dict[str, Callable[[Cursor, Names], None]] = {
    "CREATE": _create,
    "DROP": _drop,
    "INSERT": _insert,
    "UPDATE": _update,
    "DELETE": _delete,
    "MERGE": _merge,
    "SELECT": _select,
    "WITH": _with,
    "TRUNCATE": _relation_list,
    "LOCK": _relation_list,
    "COPY": _copy,
    "VACUUM": _maintenance,
    "ANALYZE": _maintenance,
    "ANALYSE": _maintenance,
    "REINDEX": _reindex,
    "REFRESH": _refresh,
    "CLUSTER": _cluster,
    "COMMENT": _comment,
    "GRANT": _grant,
    "REVOKE": _grant,
    "IMPORT": _import,
}
