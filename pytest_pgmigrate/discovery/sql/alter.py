"""Kinds of ALTER statements: relations action by action, every other object by what is done to it."""

from __future__ import annotations

from pytest_pgmigrate.discovery.sql.actions import action_kind
from pytest_pgmigrate.discovery.sql.cursor import Cursor
from pytest_pgmigrate.discovery.sql.objects import take_object

_RELATIONS = ("TABLE", "INDEX", "VIEW", "SEQUENCE", "MATVIEW", "FOREIGN_TABLE")
_OWN = {
    "AGGREGATE": "alter_function_stmt",
    "FUNCTION": "alter_function_stmt",
    "PROCEDURE": "alter_function_stmt",
    "ROUTINE": "alter_function_stmt",
    "COLLATION": "alter_collation_stmt",
    "DOMAIN": "alter_domain_stmt",
    "EVENT_TRIGGER": "alter_event_trig_stmt",
    "FDW": "alter_fdw_stmt",
    "FOREIGN_SERVER": "alter_foreign_server_stmt",
    "OPERATOR": "alter_operator_stmt",
    "OPFAMILY": "alter_op_family_stmt",
    "POLICY": "alter_policy_stmt",
    "PUBLICATION": "alter_publication_stmt",
    "SEQUENCE": "alter_seq_stmt",
    "STATISTIC_EXT": "alter_stats_stmt",
    "SUBSCRIPTION": "alter_subscription_stmt",
    "TABLESPACE": "alter_table_space_options_stmt",
    "TSCONFIGURATION": "alter_tsconfiguration_stmt",
    "TSDICTIONARY": "alter_tsdictionary_stmt",
    "USER_MAPPING": "alter_user_mapping_stmt",
}
_ROLES = ("ROLE", "USER", "GROUP")
_ON_RELATION = ("TRIGGER", "POLICY", "RULE")


def alter_kinds(cursor: Cursor) -> tuple[str, ...]:
    """The kinds of an ALTER statement, the cursor standing behind ALTER."""
    found = take_object(cursor)
    if found == "SYSTEM":
        return ("ALTER SYSTEM",)
    if found == "DEFAULT_PRIVILEGES":
        return ("alter_default_privileges_stmt",)
    if found in _RELATIONS:
        return _alter_relation(found, cursor)
    if not found:
        return (f"?ALTER {cursor.word()}",)
    cursor.take_if_exists()
    skip_object_name(found, cursor)
    if found == "TYPE":
        return _alter_type(cursor)
    return (_alter_object(found, cursor),)


def _alter_relation(found: str, cursor: Cursor) -> tuple[str, ...]:
    if cursor.word() == "ALL" and cursor.word(1) == "IN":
        return ("alter_table_move_all_stmt",)
    cursor.take_if_exists()
    cursor.relation()
    if cursor.take("RENAME"):
        if cursor.word() == "CONSTRAINT":
            return ("RENAME TABCONSTRAINT",)
        return (f"RENAME {found}" if cursor.word() == "TO" else "RENAME COLUMN",)
    if cursor.word() == "SET" and cursor.word(1) == "SCHEMA":
        return (f"SET SCHEMA {found}",)
    if _depends(cursor):
        return ("alter_object_depends_stmt",)
    # ALTER SEQUENCE … OWNER TO and SET LOGGED are ALTER TABLE actions; all else is the sequence's own.
    if found == "SEQUENCE" and cursor.word() not in ("OWNER", "SET"):
        return (_OWN[found],)
    return tuple(f"ALTER {found}: {action_kind(item)}" for item in cursor.items())


def _depends(cursor: Cursor) -> bool:
    return cursor.word() == "DEPENDS" or (cursor.word() == "NO" and cursor.word(1) == "DEPENDS")


def _alter_type(cursor: Cursor) -> tuple[str, ...]:
    if cursor.word() == "ADD" and cursor.word(1) == "VALUE":
        return ("ALTER TYPE ADD VALUE",)
    if cursor.word() == "RENAME":
        kinds = {"VALUE": "ALTER TYPE RENAME VALUE", "TO": "RENAME TYPE"}
        return (kinds.get(cursor.word(1), "RENAME ATTRIBUTE"),)
    if cursor.word() == "OWNER":
        return ("OWNER TO TYPE",)
    if cursor.word() == "SET":
        return ("SET SCHEMA TYPE" if cursor.word(1) == "SCHEMA" else "alter_type_stmt",)
    actions = {"ADD": "AddColumn (plain)", "DROP": "DropColumn", "ALTER": "AlterColumnType"}
    return tuple(f"ALTER TYPE: {actions.get(item.word(), '?' + item.word())}" for item in cursor.items())


def _alter_object(found: str, cursor: Cursor) -> str:
    word, then = cursor.word(), cursor.word(1)
    if word == "RENAME":
        return "RENAME DOMCONSTRAINT" if then == "CONSTRAINT" else f"RENAME {found}"
    if word == "OWNER":
        return f"OWNER TO {found}"
    if (word, then) == ("SET", "SCHEMA"):
        return f"SET SCHEMA {found}"
    if _depends(cursor):
        return "alter_object_depends_stmt"
    if found == "DATABASE":
        return _alter_database(cursor)
    if found in _ROLES:
        return _alter_role(cursor)
    if found == "EXTENSION":
        return "alter_extension_stmt" if word == "UPDATE" else "alter_extension_contents_stmt"
    return _OWN.get(found, f"?ALTER {found}")


def _alter_database(cursor: Cursor) -> str:
    if cursor.word() == "SET" and cursor.word(1) == "TABLESPACE":
        return "ALTER DATABASE SET TABLESPACE"
    if cursor.word() == "REFRESH":
        return "alter_database_refresh_coll_stmt"
    return "alter_database_set_stmt" if cursor.word() in ("SET", "RESET") else "alter_database_stmt"


def _alter_role(cursor: Cursor) -> str:
    if cursor.take("IN", "DATABASE"):
        cursor.name()
    if cursor.word() in ("SET", "RESET"):
        return "alter_role_set_stmt"
    return "alter_role_stmt"


def skip_object_name(found: str, cursor: Cursor) -> None:
    """Step over the name of an object of any type, with its argument types, ``USING`` method or ``ON`` relation."""
    if found == "USER_MAPPING":  # FOR user SERVER server
        cursor.index += 2
        cursor.take("SERVER")
        cursor.name()
        return
    if found == "LARGE_OBJECT":
        cursor.index += 1
        return
    if found == "OPERATOR":
        while cursor.index < len(cursor.tokens) and cursor.word() != "(":
            cursor.index += 1
    else:
        cursor.name()
    cursor.skip_parentheses()
    if found in ("OPCLASS", "OPFAMILY") and cursor.take("USING"):
        cursor.name()
    if found in _ON_RELATION and cursor.take("ON"):
        cursor.relation()
