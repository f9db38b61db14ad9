"""What the kinds of a script's statements tell before it runs."""

from __future__ import annotations

from pytest_pgmigrate.model.migration import Script, TransactionRule

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
