"""The kinds of a single ALTER TABLE action: what libpg_query calls the sub-commands."""

from __future__ import annotations

from pytest_pgmigrate.discovery.sql.cursor import Cursor

_CONSTRAINT_WORDS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "EXCLUDE", "NOT")
_CONSTRAINTS = {
    "PRIMARY": "PRIMARY",
    "UNIQUE": "UNIQUE",
    "CHECK": "CHECK",
    "FOREIGN": "FOREIGN",
    "EXCLUDE": "EXCLUSION",
    "NOT": "NOTNULL",
}
_COLUMN_ACTIONS = {
    ("SET", "DEFAULT"): "ColumnDefault SET",
    ("DROP", "DEFAULT"): "ColumnDefault DROP",
    ("SET", "NOT"): "SetNotNull",
    ("DROP", "NOT"): "DropNotNull",
    ("DROP", "EXPRESSION"): "DropExpression",
    ("SET", "EXPRESSION"): "SetExpression",
    ("SET", "STATISTICS"): "SetStatistics",
    ("SET", "STORAGE"): "SetStorage",
    ("SET", "COMPRESSION"): "SetCompression",
    ("SET", "("): "SetOptions",
    ("RESET", "("): "ResetOptions",
    ("ADD", "GENERATED"): "AddIdentity",
    ("DROP", "IDENTITY"): "DropIdentity",
}
_SETTINGS = {
    "LOGGED": "SetLogged",
    "UNLOGGED": "SetUnLogged",
    "TABLESPACE": "SetTableSpace",
    "ACCESS": "SetAccessMethod",
    "(": "SetRelOptions",
}
_PLAIN = {
    "VALIDATE": "ValidateConstraint",
    "FORCE": "ForceRowSecurity",
    "INHERIT": "AddInherit",
    "OWNER": "ChangeOwner",
    "CLUSTER": "ClusterOn",
    "REPLICA": "ReplicaIdentity",
    "OF": "AddOf",
    "NOT": "DropOf",
    "ATTACH": "AttachPartition",
    "RESET": "ResetRelOptions",
    "OPTIONS": "GenericOptions",
    "MERGE": "MergePartitions",
    "SPLIT": "SplitPartition",
}


def action_kind(cursor: Cursor) -> str:
    """The kind of one action, e.g. ``AddColumn (DEFAULT+NOTNULL)``; an unknown one starts with ``?``."""
    word = cursor.word()
    cursor.index += 1
    if word == "ADD":
        return _add(cursor)
    if word == "DROP":
        return "DropConstraint" if cursor.word() == "CONSTRAINT" else "DropColumn"
    if word == "ALTER":
        return _alter(cursor)
    if word in ("ENABLE", "DISABLE"):
        return _switch(word.title(), cursor)
    if word == "NO":
        return "NoForceRowSecurity" if cursor.word() == "FORCE" else "DropInherit"
    if word == "DETACH":
        rest = cursor.rest()
        return "DetachPartition" + next((f" {w}" for w in ("CONCURRENTLY", "FINALIZE") if w in rest[-1:]), "")
    if word == "SET":
        if cursor.take("WITHOUT"):
            return "DropCluster" if cursor.word() == "CLUSTER" else "DropOids"
        return _SETTINGS.get(cursor.word(), "?SET")
    return _PLAIN.get(word, "?" + word)


def _add(cursor: Cursor) -> str:
    # ADD not … : a table constraint only as NOT NULL; no unquoted column can have any of these reserved names.
    if cursor.word() in _CONSTRAINT_WORDS:
        return "AddConstraint " + _constraint(cursor)
    cursor.take("COLUMN")
    cursor.take_if_exists()
    cursor.name()
    return f"AddColumn ({'+'.join(sorted(_column_flags(cursor.rest()))) or 'plain'})"


def _constraint(cursor: Cursor) -> str:
    if cursor.take("CONSTRAINT"):
        cursor.name()
    kind = _CONSTRAINTS.get(cursor.word(), "?")
    rest = " ".join(cursor.rest())
    suffix = " NOT VALID" if "NOT VALID" in rest else ""
    if kind in ("PRIMARY", "UNIQUE") and "USING INDEX" in rest and "USING INDEX TABLESPACE" not in rest:
        suffix += " USING INDEX"
    return kind + suffix


def _column_flags(words: list[str]) -> set[str]:
    flags = set()
    for index, word in enumerate(words):
        before = words[index - 1] if index else ""
        after = words[index + 1] if index + 1 < len(words) else ""
        if word == "DEFAULT" and before not in ("SET", "BY"):
            flags.add("DEFAULT")
        elif word == "IDENTITY" and before == "AS":
            flags.add("IDENTITY")
        elif word == "GENERATED" and "IDENTITY" not in words[index : index + 5]:
            flags.add("GENERATED")
        elif word == "REFERENCES":
            flags.add("FOREIGN")
        elif word in ("CHECK", "UNIQUE") or (word == "PRIMARY" and after == "KEY"):
            flags.add(word)
        elif word == "NULL" and before == "NOT":
            flags.add("NOTNULL")
    return flags


def _alter(cursor: Cursor) -> str:
    if cursor.take("CONSTRAINT"):
        return "AlterConstraint"
    cursor.take("COLUMN")
    if cursor.at_name():
        cursor.name()
    else:  # ALTER INDEX … ALTER COLUMN 1 SET STATISTICS
        cursor.index += 1
    pair = (cursor.word(), cursor.word(1))
    if pair[0] == "TYPE" or pair == ("SET", "DATA"):
        return "AlterColumnType" + (" USING" if "USING" in cursor.rest() else "")
    if pair in _COLUMN_ACTIONS:
        return _COLUMN_ACTIONS[pair]
    if pair[0] == "OPTIONS":
        return "AlterColumnGenericOptions"
    return "SetIdentity" if pair[0] in ("SET", "RESTART") else "?ALTER COLUMN " + pair[0]


def _switch(verb: str, cursor: Cursor) -> str:
    mode = cursor.take_any("ALWAYS", "REPLICA").title()
    what = cursor.take_any("ROW", "RULE", "TRIGGER")
    if what == "ROW":
        return verb + "RowSecurity"
    if what == "RULE":
        return verb + mode + "Rule"
    which = {"ALL": "All", "USER": "User"}.get(cursor.word(), "")
    return verb + mode + "Trig" + which if what else "?" + verb.upper()
