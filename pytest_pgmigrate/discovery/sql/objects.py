"""The object types that CREATE, ALTER and DROP take, in one or two words."""

from __future__ import annotations

from pytest_pgmigrate.discovery.sql.cursor import Cursor

_TWO_WORDS = {
    ("MATERIALIZED", "VIEW"): "MATVIEW",
    ("FOREIGN", "TABLE"): "FOREIGN_TABLE",
    ("FOREIGN", "DATA"): "FDW",
    ("EVENT", "TRIGGER"): "EVENT_TRIGGER",
    ("OPERATOR", "CLASS"): "OPCLASS",
    ("OPERATOR", "FAMILY"): "OPFAMILY",
    ("ACCESS", "METHOD"): "ACCESS_METHOD",
    ("TEXT", "SEARCH"): "TS",
    ("USER", "MAPPING"): "USER_MAPPING",
    ("LARGE", "OBJECT"): "LARGE_OBJECT",
    ("DEFAULT", "PRIVILEGES"): "DEFAULT_PRIVILEGES",
    ("PROCEDURAL", "LANGUAGE"): "LANGUAGE",
    ("TRUSTED", "LANGUAGE"): "LANGUAGE",
}
_ONE_WORD = {
    "TABLE", "INDEX", "VIEW", "SEQUENCE", "FUNCTION", "PROCEDURE", "ROUTINE", "TRIGGER", "TYPE", "DOMAIN", "SCHEMA",
    "EXTENSION", "POLICY", "RULE", "AGGREGATE", "COLLATION", "CONVERSION", "PUBLICATION", "SUBSCRIPTION", "OPERATOR",
    "CAST", "LANGUAGE", "TRANSFORM", "DATABASE", "TABLESPACE", "ROLE", "USER", "GROUP", "SYSTEM",
}  # fmt: skip
_RENAMED = {"STATISTICS": "STATISTIC_EXT", "SERVER": "FOREIGN_SERVER"}


def take_object(cursor: Cursor) -> str:
    """Step over the words of an object type; its name in statement kinds, or ``""`` for an unknown one."""
    pair = (cursor.word(), cursor.word(1))
    if pair in _TWO_WORDS:
        cursor.index += 2
        found = _TWO_WORDS[pair]
        if found == "FDW":
            cursor.take("WRAPPER")
        if found == "TS":
            found += cursor.word()
            cursor.index += 1
        return found
    if pair == ("TRUSTED", "PROCEDURAL"):
        cursor.index += 3
        return "LANGUAGE"
    if pair[0] in _RENAMED:
        cursor.index += 1
        return _RENAMED[pair[0]]
    if pair[0] in _ONE_WORD:
        cursor.index += 1
        return pair[0]
    return ""
