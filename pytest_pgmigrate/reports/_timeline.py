"""The timeline: one table a script, a line a statement — locks, rows, WAL, and what had to wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.reports._document import Document

_HEAD = ("line", "statement", "locks", "rows", "WAL", "waited")
_SHOWN = 3
"""Tables named in one cell; the rest is counted."""

_TABLES = ("table", "partitioned table", "materialized view", "foreign table")
_INDEXES = ("index", "partitioned index")

Row = tuple[str, ...]


def timeline_lines(document: Document, width: int = 120) -> Iterator[str]:
    """The watched up and down of every migration, each with its table."""
    for entry in document["history"]:
        for step in entry.get("steps", ()):
            rows = [_row(s) for s in step["statements"] if "locks" in s and not s["kind"].startswith("TXN ")]
            if rows:
                yield f"{entry['file']} · {step['name']}"
                yield from _table(rows, width)
                yield ""


def _row(statement: Mapping[str, Any]) -> Row:
    return (
        str(statement["line"]),
        statement["text"] + (" — failed" if statement["failed"] else ""),
        _locks(statement),
        _rows(statement),
        _bytes(statement["wal_bytes"]),
        _waited(statement["blocked"]),
    )


def _locks(statement: Mapping[str, Any]) -> str:
    strong = [lock for lock in statement["locks"] if _worth(lock, statement)]
    parts = []
    for lock in strong[:_SHOWN]:
        since = f" since {lock['since_line']}" if lock["since_line"] != statement["line"] else ""
        mode = lock["mode"].removesuffix("Lock")
        parts.append(f"{mode} {_short(lock['relation'])}{since}")
    if len(strong) > _SHOWN:
        parts.append(f"+{len(strong) - _SHOWN}")
    return ", ".join(parts) or "-"


def _worth(lock: Mapping[str, Any], statement: Mapping[str, Any]) -> bool:
    """Locks on tables that an application could notice, and on indexes whose table is locked less."""
    mode = Mode.of(lock["mode"])
    if lock["kind"] in _TABLES:
        return mode >= Mode.ROW_EXCLUSIVE
    if lock["kind"] not in _INDEXES or mode < Mode.SHARE:
        return False
    return not any(
        other["relation"] == lock["table"] and Mode.of(other["mode"]) >= mode for other in statement["locks"]
    )


def _rows(statement: Mapping[str, Any]) -> str:
    parts = []
    for name in ("rewritten", "rebuilt", "emptied", "built"):
        if statement[name]:
            parts.append(f"{name} {_some(statement[name])}")
    for word, keys in (("read", ("read",)), ("written", ("inserted", "updated", "deleted"))):
        number = sum(count[key] for count in statement["rows"] for key in keys)
        if number:
            parts.append(f"{number:,} {word}")
    classes = {growth["class"] for growth in statement["growth"].values()}
    if classes:
        parts.append(max(classes))
    return ", ".join(parts) or "-"


def _some(names: Iterable[str]) -> str:
    found = [_short(name) for name in names]
    more = f" +{len(found) - 1}" if len(found) > 1 else ""
    return f"{found[0]}{more}"


def _waited(blocked: Iterable[Mapping[str, Any]]) -> str:
    """The statements that waited, by table: ``7 on users``; in brackets when they were predicted and not tried."""
    tried: dict[str, list[bool]] = {}
    for item in blocked:
        if item["tried"] is False:
            continue
        tried.setdefault(_short(item["waits_for"]), []).append(item["tried"] is True)
    parts = [f"{len(found)} on {name}" if all(found) else f"({len(found)} on {name})" for name, found in tried.items()]
    return ", ".join(parts[:_SHOWN]) or "-"


def _bytes(number: int) -> str:
    if number < 10_000:
        return f"{number} B"
    return f"{number / 1000:.0f} kB" if number < 10_000_000 else f"{number / 1_000_000:.0f} MB"


def _short(name: str) -> str:
    return name.removeprefix("public.")


def _table(rows: list[Row], width: int) -> Iterator[str]:
    """Columns as wide as they must be; the statement's text gets what is left."""
    table = [_HEAD, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
    rest = sum(widths) - widths[1] + 2 * len(widths)
    widths[1] = max(min(widths[1], width - rest), 20)
    for row in table:
        cells = [_cut(cell, size) for cell, size in zip(row, widths, strict=True)]
        aligned = [
            cell.rjust(size) if column in (0, 4) else cell.ljust(size)
            for column, (cell, size) in enumerate(zip(cells, widths, strict=True))
        ]
        yield f"  {'  '.join(aligned)}".rstrip()


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"
