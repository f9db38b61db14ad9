"""What the kinds of a script's statements tell before it runs."""

from __future__ import annotations

import re

from pytest_pgmigrate.model.migration import Script, Statement, TransactionRule

# Before these no query may run in the transaction (SET TRANSACTION must come first), and they lock nothing.
SILENT = ("TXN ", "SET", "RESET", "constraints_set_stmt", "prepare_stmt", "DISCARD", "discard_stmt")
_REFERENCES = re.compile(r"\breferences\b|\binherits\b", re.IGNORECASE)
_HARMLESS = (
    "ALTER TABLE: AddColumn (plain)",
    "ALTER TABLE: DropColumn",
    "COMMENT ON",
    "GRANT",
    "REVOKE",
    "CREATE FUNCTION",
)
PARALLEL = re.compile("parallel", re.IGNORECASE)
_DEFINITIONS = ("CREATE ", "ALTER ", "DROP ", "COMMENT ON", "GRANT", "REVOKE", "create_", "RENAME ", "SET SCHEMA")


def only_definitions(script: Script) -> bool:
    """Whether a script only defines things: no row is read or written and no function of the user's is called."""
    return all(
        kind.startswith(_DEFINITIONS) and "CONCURRENTLY" not in kind and " AS" not in kind
        for statement in script.statements
        for kind in statement.kinds
    )


def undone_by_the_server(script: Script) -> bool:
    """Whether a failure of this script leaves nothing behind by PostgreSQL's own word.

    True for definitions alone in one transaction: an error rolls all of them back. Anything that may commit by itself,
    or act outside the transaction through a function (setval, dblink), is looked at instead.
    """
    return only_definitions(script) and all(chunk.rule is not TransactionRule.NONE for chunk in script.chunks)


def needs_gate(statement: Statement) -> bool:
    """Whether the statement commits, or may commit, in its own middle."""
    kind = statement.kind
    if "CONCURRENTLY" in kind:
        return not kind.startswith("REFRESH")
    if kind == "call_stmt":
        return True
    if kind == "do_stmt":
        return re.search(r"\b(commit|rollback|call)\b", statement.text, re.IGNORECASE) is not None
    return kind in ("VACUUM", "REINDEX SCHEMA", "REINDEX DATABASE", "REINDEX SYSTEM")


def may_release(statement: Statement) -> bool:
    """Whether a lock may have been given back inside: by a savepoint, or an exception block of a routine."""
    return statement.kind in ("do_stmt", "call_stmt", "select_stmt")


def worth_trying(script: Script) -> bool:
    """Whether a finding can come of what the script locks: of one harmless definition alone none can."""
    statements = [s for s in script.statements if not s.kind.startswith(SILENT)]
    if len(statements) != 1:
        return bool(statements)
    [only] = statements
    if only.kind == "CREATE TABLE":
        return _REFERENCES.search(only.text) is not None
    return not all(kind in _HARMLESS for kind in only.kinds)
