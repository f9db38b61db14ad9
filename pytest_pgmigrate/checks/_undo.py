"""The SQL that a down lacks, in the user's own names: what takes away what was left and sets back what is other."""

from __future__ import annotations

from collections.abc import Callable

from pytest_pgmigrate.checks._words import attribute, granted, value
from pytest_pgmigrate.model.state import ObjectChange

_DROPPABLE = frozenset({
    "table", "view", "materialized view", "foreign table", "index", "sequence", "type", "domain", "schema", "function",
    "procedure", "aggregate", "extension", "role", "collation", "operator", "operator class", "operator family",
    "publication", "subscription", "event trigger", "statistics", "language", "server", "foreign data wrapper",
    "conversion", "access method", "text search parser", "text search template", "text search dictionary",
    "text search configuration",
})  # fmt: skip
_ON_TABLE = ("trigger", "policy", "rule")


def advice(change: ObjectChange, file: str, *, by_down: bool) -> str:
    """What ``file``, a down, should do about one difference. ``by_down``: it was the down that made the object."""
    kind, name = change.key.kind, change.key.name
    if change.change == "missing":
        return f"let {file} create {kind} {name} again, exactly as it was"
    if change.change == "extra":
        if by_down:
            return f"let {file} not create {kind} {name}: it was not there before the up"
        sql = _drop(change)
        return f"add to {file}: {sql};" if sql else f"let {file} take back {kind} {name}"
    sql = _set_back(change)
    if sql:
        return f"add to {file}: {sql};"
    return f"let {file} set {attribute(change)} of {kind} {name} back to {value(change.old)}"


def _drop(change: ObjectChange) -> str:
    kind, name, table = change.key.kind, change.key.name, change.key.relation
    own = name.removeprefix(f"{table} ")
    if kind == "column":
        owner, column = _column(change)
        return f"ALTER TABLE {owner} DROP COLUMN {column}"
    if kind == "constraint":
        return f"ALTER TABLE {table} DROP CONSTRAINT {own}"
    if kind in _ON_TABLE:
        return f"DROP {kind.upper()} {own} ON {table}"
    if kind == "setting":
        # "work_mem of the database", with "for role bob" behind it or without.
        setting, _, who = name.partition(" of the database")
        role = who.removeprefix(" for role ")
        return f"ALTER {f'ROLE {role} IN ' if role else ''}DATABASE <its name> RESET {setting}"
    return f"DROP {kind.upper()} {name}" if kind in _DROPPABLE else ""


def _column(change: ObjectChange) -> tuple[str, str]:
    table = change.key.relation or change.key.name.rpartition(".")[0]
    return table, change.key.name.removeprefix(f"{table}.")


def _set_back(change: ObjectChange) -> str:
    """The statement that gives the attribute its old value; "" where there is none so short."""
    find = _BACK.get(change.attribute)
    return find(change) if find is not None else ""


def _of_column(change: ObjectChange) -> str:
    if change.key.kind != "column":
        return ""
    table, column = _column(change)
    head = f"ALTER TABLE {table} ALTER COLUMN {column} "
    old = change.old
    tails = {
        "default": "DROP DEFAULT" if old is None else f"SET DEFAULT {old}",
        "not_null": "SET NOT NULL" if old else "DROP NOT NULL",
        "type": f"TYPE {old}",
        # -1 is the default on every version: https://www.postgresql.org/docs/current/sql-altertable.html
        "statistics": f"SET STATISTICS {-1 if old is None else old}",
    }
    return head + tails[change.attribute]


def _owner(change: ObjectChange) -> str:
    return f"ALTER {change.key.kind.upper()} {change.key.name} OWNER TO {change.old}"


def _comment(change: ObjectChange) -> str:
    kind, name, table = change.key.kind, change.key.name, change.key.relation
    if kind in ("constraint", *_ON_TABLE):
        name = f"{name.removeprefix(f'{table} ')} ON {table}"
    if kind not in _DROPPABLE and kind not in ("constraint", "column", *_ON_TABLE):
        return ""
    text = "NULL" if change.old is None else "'" + str(change.old).replace("'", "''") + "'"
    return f"COMMENT ON {kind.upper()} {name} IS {text}"


def _table(change: ObjectChange, what: str) -> str:
    return f"ALTER TABLE {change.key.name} {what}" if change.key.kind == "table" else ""


def _identity(change: ObjectChange) -> str:
    return "" if change.old == "index" else _table(change, f"REPLICA IDENTITY {str(change.old).upper()}")


def _validated(change: ObjectChange) -> str:
    table = change.key.relation
    return f"ALTER TABLE {table} VALIDATE CONSTRAINT {change.key.name.removeprefix(f'{table} ')}" if change.old else ""


def _definition(change: ObjectChange) -> str:
    kind, name, table = change.key.kind, change.key.name, change.key.relation
    if kind == "constraint":
        own = name.removeprefix(f"{table} ")
        return f"ALTER TABLE {table} DROP CONSTRAINT {own}, ADD CONSTRAINT {own} {change.old}"
    if kind in ("index", "statistics"):
        return f"DROP {kind.upper()} {name}; {change.old}"
    return ""


def _firing(change: ObjectChange) -> str:
    table, word = change.key.relation, {"origin": "ENABLE", "disabled": "DISABLE"}.get(str(change.old))
    word = word or f"ENABLE {str(change.old).upper()}"
    return f"ALTER TABLE {table} {word} {change.key.kind.upper()} {change.key.name.removeprefix(f'{table} ')}"


def _owned(change: ObjectChange) -> str:
    return f"ALTER SEQUENCE {change.key.name} OWNED BY {change.old or 'NONE'}"


def _options(change: ObjectChange) -> str:
    if change.key.kind not in ("table", "materialized view", "view"):
        return ""
    old, new = (tuple(map(str, side)) for side in _pair(change))
    names = {item.split("=", 1)[0] for item in old}
    reset = [name for item in new if (name := item.split("=", 1)[0]) not in names]
    parts = [f"RESET ({', '.join(reset)})"] if reset else []
    parts += [f"SET ({', '.join(item for item in old if item not in new)})"] if set(old) - set(new) else []
    return "; ".join(f"ALTER {change.key.kind.upper()} {change.key.name} {part}" for part in parts)


def _settings(change: ObjectChange) -> str:
    if change.key.kind != "role":
        return ""
    old, new = (dict(str(item).split("=", 1) for item in side or ()) for side in _pair(change))
    said = [f"RESET {name}" for name in new if name not in old]
    said += [f"SET {name} = '{found}'" for name, found in old.items() if new.get(name) != found]
    return "; ".join(f"ALTER ROLE {change.key.name} {part}" for part in said)


def _pair(change: ObjectChange) -> tuple[tuple[object, ...], tuple[object, ...]]:
    old, new = (tuple(side) if isinstance(side, (list, tuple)) else () for side in (change.old, change.new))
    return old, new


def _grants(change: ObjectChange) -> str:
    kind = change.key.kind
    if kind not in ("table", "view", "materialized view", "sequence", "schema", "function", "procedure", "type"):
        return ""
    word = "TABLE" if "view" in kind else kind.upper()
    said = []
    for who, more, less in granted(change.old, change.new):
        said += [f"REVOKE {_plain(more)} ON {word} {change.key.name} FROM {who}"] if more else []
        said += [f"GRANT {_plain(less)} ON {word} {change.key.name} TO {who}"] if less else []
    return "; ".join(said)


def _plain(names: tuple[str, ...]) -> str:
    return ", ".join(name.removesuffix(" WITH GRANT OPTION") for name in names)


_BACK: dict[str, Callable[[ObjectChange], str]] = {
    "default": _of_column,
    "not_null": _of_column,
    "type": _of_column,
    "statistics": _of_column,
    "owner": _owner,
    "comment": _comment,
    "persistence": lambda c: _table(c, "SET UNLOGGED" if c.old == "unlogged" else "SET LOGGED"),
    "row_security": lambda c: _table(c, f"{'ENABLE' if c.old else 'DISABLE'} ROW LEVEL SECURITY"),
    "force_row_security": lambda c: _table(c, f"{'FORCE' if c.old else 'NO FORCE'} ROW LEVEL SECURITY"),
    "replica_identity": _identity,
    "validated": _validated,
    "enabled": _firing,
    "owned_by": _owned,
    "options": _options,
    "definition": _definition,
    "acl": _grants,
    "settings": _settings,
}
