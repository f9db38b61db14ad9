"""Differences of the catalog in words that a person understands: attributes, privileges, long definitions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pytest_pgmigrate.model.state import ObjectChange

# Letters of an ACL item: https://www.postgresql.org/docs/current/ddl-priv.html
_PRIVILEGES = {
    "r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "D": "TRUNCATE", "x": "REFERENCES", "t": "TRIGGER",
    "m": "MAINTAIN", "X": "EXECUTE", "U": "USAGE", "C": "CREATE", "T": "TEMPORARY", "c": "CONNECT", "s": "SET",
    "A": "ALTER SYSTEM",
}  # fmt: skip
_ATTRIBUTES = {
    "not_null": "NOT NULL",
    "row_security": "row level security",
    "force_row_security": "row level security for the owner",
    "options": "storage parameters",
    "toast_options": "storage parameters of the TOAST table",
    "using": "USING",
    "with_check": "WITH CHECK",
    "statistics": "statistics target",
    "triggers_not_enabled": "state of its triggers",
    "acl": "privileges",
}
_FIRING = {
    "origin": "enabled",
    "disabled": "disabled",
    "replica": "enabled on replicas only",
    "always": "enabled on replicas too",
}
_ITEM = re.compile(r'(?P<grantee>"(?:[^"]|"")*"|[^=]*)=(?P<letters>[a-zA-Z*]*)/(?P<grantor>.*)', re.DOTALL)
_LONG = 160


def describe(change: ObjectChange) -> str:
    """``index public.idx_users_email is left`` — one difference after a down, as a person would say it."""
    if change.change == "extra":
        return f"{change.key} is left"
    if change.change == "missing":
        return f"{change.key} is gone"
    return differs(change)


def differs(change: ObjectChange) -> str:
    """One difference between two states: ``constraint public.orders total: validated is false, was true``."""
    key, old, new = change.key, change.old, change.new
    if change.change != "changed":
        return f"{key}: {change.change}"
    if change.attribute == "password":
        return f"{key}: the password is another one"
    if change.attribute == "acl":
        return f"{key}: {_granted(old, new)}"
    if change.attribute == "enabled" and old in _FIRING and new in _FIRING:
        return f"{key} is {_FIRING[str(new)]}, was {_FIRING[str(old)]}"
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)) and set(old) != set(new):
        return f"{key}: {attribute(change)}: {_items(old, new)}"
    if change.attribute == "comment":
        return f"{key}: comment is {_quoted(new)}, was {_quoted(old)}"
    if _lines(old) and _lines(new):
        return f"{key}: {attribute(change)} differs in line {_line(str(old), str(new))}"
    return f"{key}: {attribute(change)} is {value(new)}, was {value(old)}"


def attribute(change: ObjectChange) -> str:
    """What differs, without our abbreviations."""
    return _ATTRIBUTES.get(change.attribute, change.attribute.replace("_", " "))


def value(found: object) -> str:
    """One value: ``not set``, ``true``, a list with commas, text as it is."""
    if found is None or found == () or found == []:
        return "not set"
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, (list, tuple)):
        return _cut(", ".join(map(value, found)))
    if isinstance(found, Mapping):
        return _cut(", ".join(f"{name} {value(item)}" for name, item in found.items()))
    text = " ".join(str(found).split())
    return _cut(text) if text else "''"


def _quoted(text: object) -> str:
    return value(None) if text is None else f"'{_cut(str(text))}'"


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _lines(found: object) -> bool:
    return isinstance(found, str) and "\n" in found.strip()


def _line(old: str, new: str) -> str:
    """Number and text of the first line that differs."""
    before, after = old.splitlines(), new.splitlines()
    number = next((n for n, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), None)
    if number is None:
        number = min(len(before), len(after))
    was, now = (side[number] if number < len(side) else "" for side in (before, after))
    return f"{number + 1}: is {value(now)}, was {value(was)}"


def _items(old: Iterable[object], new: Iterable[object]) -> str:
    more, less = [i for i in new if i not in list(old)], [i for i in old if i not in list(new)]
    said = [f"{value(more)} is new" if more else "", f"{value(less)} is gone" if less else ""]
    return ", ".join(part for part in said if part)


def privileges(acl: object) -> dict[str, tuple[str, ...]]:
    """Grantee to privileges, of a list of ACL items; ``PUBLIC`` is everyone, ``*`` becomes WITH GRANT OPTION."""
    found: dict[str, tuple[str, ...]] = {}
    for item in acl if isinstance(acl, (list, tuple)) else ():
        match = _ITEM.fullmatch(str(item))
        if match is None:
            continue
        names = re.findall(r"([a-zA-Z])(\*?)", match["letters"])
        words = tuple(_PRIVILEGES.get(one, one) + (" WITH GRANT OPTION" if star else "") for one, star in names)
        grantee = match["grantee"] or "PUBLIC"
        found[grantee] = (*found.get(grantee, ()), *words)
    return found


def granted(old: object, new: object) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Who may more and who less: grantee, privileges gained, privileges lost."""
    before, after = privileges(old), privileges(new)
    found = []
    for who in dict.fromkeys([*after, *before]):
        mine, theirs = before.get(who, ()), after.get(who, ())
        more, less = tuple(p for p in theirs if p not in mine), tuple(p for p in mine if p not in theirs)
        if more or less:
            found.append((who, more, less))
    return found


def _granted(old: object, new: object) -> str:
    said = []
    for who, more, less in granted(old, new):
        if more:
            said.append(f"{who} may {', '.join(more)}, could not before")
        if less:
            said.append(f"{who} may no more {', '.join(less)}")
    return "; ".join(said) or "the privileges are granted by someone else"


def without_echo(changes: Iterable[ObjectChange]) -> list[ObjectChange]:
    """The changes without those that another one brings with it; tables before what hangs on them.

    A new owner is written into every ACL item of its object, and an owned sequence follows its table
    (https://www.postgresql.org/docs/current/sql-altertable.html, OWNER TO).
    """
    found = list(changes)
    owners = {c.key: (c.old, c.new) for c in found if c.attribute == "owner"}
    moves = {pair for key, pair in owners.items() if key.kind != "sequence"}
    kept = [
        c
        for c in found
        if not (c.attribute == "acl" and c.key in owners and _renamed(c.old, owners[c.key]) == _sorted(c.new))
        and not (c.attribute == "owner" and c.key.kind == "sequence" and (c.old, c.new) in moves)
    ]
    return sorted(kept, key=lambda c: bool(c.key.relation) or c.key.kind == "sequence")


def _renamed(acl: object, owner: tuple[object, object]) -> list[str]:
    items = []
    for item in acl if isinstance(acl, (list, tuple)) else ():
        match = _ITEM.fullmatch(str(item))
        if match is not None:
            names = [str(owner[1]) if name == owner[0] else name for name in (match["grantee"], match["grantor"])]
            item = f"{names[0]}={match['letters']}/{names[1]}"
        items.append(str(item))
    return sorted(items)


def _sorted(acl: object) -> list[str]:
    return sorted(map(str, acl)) if isinstance(acl, (list, tuple)) else []
