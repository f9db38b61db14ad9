"""Names what a statement does, from its keywords alone.

Kinds read like the command (``CREATE INDEX CONCURRENTLY``, ``ALTER TABLE: AddColumn (NOTNULL)``, ``TXN BEGIN``) or like
libpg_query's node (``update_stmt``, ``create_extension_stmt``). A statement that is not known gets a kind that starts
with ``?``, never a guess. What DO, CALL and function bodies do is only known at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from pytest_pgmigrate.discovery.sql.alter import alter_kinds
from pytest_pgmigrate.discovery.sql.cursor import Cursor
from pytest_pgmigrate.discovery.sql.objects import take_object

_FIRST_WORD = {
    "INSERT": "insert_stmt",
    "UPDATE": "update_stmt",
    "DELETE": "delete_stmt",
    "MERGE": "merge_stmt",
    "SELECT": "select_stmt",
    "VALUES": "select_stmt",
    "TABLE": "select_stmt",
    "(": "select_stmt",
    "TRUNCATE": "truncate_stmt",
    "LOCK": "lock_stmt",
    "DO": "do_stmt",
    "CALL": "call_stmt",
    "COPY": "copy_stmt",
    "CLUSTER": "cluster_stmt",
    "REPACK": "repack_stmt",
    "EXPLAIN": "explain_stmt",
    "NOTIFY": "notify_stmt",
    "LISTEN": "listen_stmt",
    "UNLISTEN": "unlisten_stmt",
    "CHECKPOINT": "check_point_stmt",
    "SHOW": "variable_show_stmt",
    "FETCH": "fetch_stmt",
    "MOVE": "fetch_stmt",
    "DECLARE": "declare_cursor_stmt",
    "CLOSE": "close_portal_stmt",
    "EXECUTE": "execute_stmt",
    "DEALLOCATE": "deallocate_stmt",
    "REASSIGN": "reassign_owned_stmt",
    "LOAD": "load_stmt",
    "SECURITY": "sec_label_stmt",
    "IMPORT": "import_foreign_schema_stmt",
    "COMMENT": "COMMENT ON",
    "RESET": "RESET",
    "VACUUM": "VACUUM",
    "ANALYZE": "ANALYZE",
    "ANALYSE": "ANALYZE",
}
_CREATE = {
    "EXTENSION": "create_extension_stmt",
    "SEQUENCE": "create_seq_stmt",
    "SCHEMA": "create_schema_stmt",
    "DOMAIN": "create_domain_stmt",
    "POLICY": "create_policy_stmt",
    "RULE": "rule_stmt",
    "PUBLICATION": "create_publication_stmt",
    "SUBSCRIPTION": "create_subscription_stmt",
    "STATISTIC_EXT": "create_stats_stmt",
    "FOREIGN_SERVER": "create_foreign_server_stmt",
    "FOREIGN_TABLE": "create_foreign_table_stmt",
    "CAST": "create_cast_stmt",
    "TRIGGER": "create_trig_stmt",
    "EVENT_TRIGGER": "create_event_trig_stmt",
    "DATABASE": "CREATE DATABASE",
    "TABLESPACE": "CREATE TABLESPACE",
    "ROLE": "create_role_stmt",
    "USER": "create_role_stmt",
    "GROUP": "create_role_stmt",
    "VIEW": "view_stmt",
    "MATVIEW": "CREATE MATVIEW AS",
    "USER_MAPPING": "create_user_mapping_stmt",
    "FDW": "create_fdw_stmt",
    "LANGUAGE": "create_plang_stmt",
    "CONVERSION": "create_conversion_stmt",
    "OPCLASS": "create_op_class_stmt",
    "OPFAMILY": "create_op_family_stmt",
    "TRANSFORM": "create_transform_stmt",
    "ACCESS_METHOD": "create_am_stmt",
}
_DROP = {
    "ROLE": "drop_role_stmt",
    "USER": "drop_role_stmt",
    "GROUP": "drop_role_stmt",
    "USER_MAPPING": "drop_user_mapping_stmt",
    "DATABASE": "DROP DATABASE",
    "TABLESPACE": "DROP TABLESPACE",
    "SUBSCRIPTION": "drop_subscription_stmt",
}
_TRANSACTION = {
    "BEGIN": "BEGIN",
    "START": "BEGIN",
    "COMMIT": "COMMIT",
    "END": "COMMIT",
    "ROLLBACK": "ROLLBACK",
    "ABORT": "ROLLBACK",
    "SAVEPOINT": "SAVEPOINT",
    "RELEASE": "RELEASE",
}
_MODIFYING = ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "TABLE")
_REINDEX_WIDE = ("SCHEMA", "DATABASE", "SYSTEM")


def classify(cursor: Cursor) -> tuple[str, ...]:
    """The kinds of the statement under a fresh cursor: one, or one per action of an ALTER TABLE."""
    word = cursor.word()
    cursor.index += 1
    if word == "ALTER":
        return alter_kinds(cursor)
    if special := _SPECIAL.get(word):
        return (special(word, cursor),)
    return (_FIRST_WORD.get(word, f"?{word if word.isalpha() else ''}"),)


def _transaction(word: str, cursor: Cursor) -> str:
    rest = cursor.rest()
    kind = "TXN " + _TRANSACTION[word]
    if rest[:1] == ["PREPARED"]:
        return kind + "_PREPARED"
    return kind + "_TO" if word == "ROLLBACK" and "TO" in rest else kind


def _prepare(_: str, cursor: Cursor) -> str:
    return "TXN PREPARE" if cursor.word() == "TRANSACTION" else "prepare_stmt"


def _with(_: str, cursor: Cursor) -> str:
    return next((_FIRST_WORD[word] for word in cursor.rest() if word in _MODIFYING), "select_stmt")


def _set(_: str, cursor: Cursor) -> str:
    if cursor.word() == "CONSTRAINTS":
        return "constraints_set_stmt"
    return "SET LOCAL" if cursor.word() == "LOCAL" else "SET"


def _discard(_: str, cursor: Cursor) -> str:
    return "DISCARD ALL" if cursor.word() == "ALL" else "discard_stmt"


def _reindex(_: str, cursor: Cursor) -> str:
    options = ""
    if cursor.word() == "(":
        options = " ".join(cursor.inside().rest())
        cursor.skip_parentheses()
    target = cursor.word()
    cursor.index += 1
    concurrently = cursor.word() == "CONCURRENTLY" or _switched_on(options)
    wide = f" {target}" if target in _REINDEX_WIDE else ""
    return "REINDEX" + wide + (" CONCURRENTLY" if concurrently else "")


def _switched_on(options: str) -> bool:
    _, found, value = options.partition("CONCURRENTLY")
    return bool(found) and value.split(",")[0].strip() not in ("FALSE", "OFF")


def _refresh(_: str, cursor: Cursor) -> str:
    return "REFRESH MATVIEW" + (" CONCURRENTLY" if cursor.word(2) == "CONCURRENTLY" else "")


def _grant(word: str, cursor: Cursor) -> str:
    return word if "ON" in cursor.rest() else "grant_role_stmt"


def _create(_: str, cursor: Cursor) -> str:
    cursor.take("OR", "REPLACE")
    cursor.take_any("CONSTRAINT", "DEFAULT")  # CREATE CONSTRAINT TRIGGER, CREATE DEFAULT CONVERSION
    while cursor.take_any("GLOBAL", "LOCAL", "TEMP", "TEMPORARY", "UNLOGGED", "RECURSIVE"):
        pass
    unique = "UNIQUE " if cursor.take("UNIQUE") else ""
    found = take_object(cursor)
    if found == "INDEX":
        return f"CREATE {unique}INDEX" + (" CONCURRENTLY" if cursor.word() == "CONCURRENTLY" else "")
    if found == "TABLE":
        return _create_table(cursor)
    if found == "TYPE":
        return _create_type(cursor)
    if found in ("FUNCTION", "PROCEDURE"):
        return f"CREATE {found}" + (" (sql_body)" if _has_sql_body(cursor) else "")
    if found in ("AGGREGATE", "OPERATOR", "COLLATION") or found.startswith("TS"):
        return f"DEFINE {found}"
    return _CREATE.get(found, f"?CREATE {found or cursor.word()}")


def _has_sql_body(cursor: Cursor) -> bool:
    rest = cursor.rest()
    return "RETURN" in rest or any(pair == ("BEGIN", "ATOMIC") for pair in pairwise(rest))


def _create_table(cursor: Cursor) -> str:
    cursor.take_if_exists()
    cursor.name()
    if cursor.word() == "PARTITION" and cursor.word(1) == "OF":
        return "CREATE TABLE PARTITION OF"
    rest = cursor.rest()
    if "AS" in rest:
        return "CREATE TABLE AS"
    partitioned = any(pair == ("PARTITION", "BY") for pair in pairwise(rest))
    return "CREATE TABLE PARTITION BY" if partitioned else "CREATE TABLE"


def _create_type(cursor: Cursor) -> str:
    cursor.name()
    if not cursor.take("AS"):
        return "DEFINE TYPE"
    return {"ENUM": "create_enum_stmt", "RANGE": "create_range_stmt"}.get(cursor.word(), "composite_type_stmt")


def _drop(_: str, cursor: Cursor) -> str:
    if cursor.take("OWNED"):
        return "drop_owned_stmt"
    found = take_object(cursor)
    if not found:
        return f"?DROP {cursor.word()}"
    concurrently = found == "INDEX" and cursor.word() == "CONCURRENTLY"
    return _DROP.get(found, f"DROP {found}") + (" CONCURRENTLY" if concurrently else "")


_SPECIAL: dict[str, Callable[[str, Cursor], str]] = {
    **dict.fromkeys(_TRANSACTION, _transaction),
    "PREPARE": _prepare,
    "WITH": _with,
    "SET": _set,
    "DISCARD": _discard,
    "REINDEX": _reindex,
    "REFRESH": _refresh,
    "GRANT": _grant,
    "REVOKE": _grant,
    "CREATE": _create,
    "DROP": _drop,
}
