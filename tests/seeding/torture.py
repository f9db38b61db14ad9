"""The torture schema (torture.sql) taken apart: its blocks, what each needs, what is expected of its tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("torture.sql")


@dataclass(frozen=True, slots=True)
class Block:
    """One feature. ``expected`` holds the statuses of tables that are not to be full."""

    feature: str
    sql: str
    needs: frozenset[str]
    expected: dict[str, str]


def blocks() -> Iterator[Block]:
    """The blocks in order; the file's own introduction is none."""
    for text in FILE.read_text(encoding="utf-8").split("\n\n")[1:]:
        head, _, sql = text.partition("\n")
        feature, *notes = [part.strip() for part in head.removeprefix("-- ").split("|")]
        needs = frozenset(note.removeprefix("needs ") for note in notes if note.startswith("needs "))
        pairs = (note.split(" = ") for note in notes if " = " in note)
        yield Block(feature, sql, needs, {f"public.{table}": status for table, status in pairs})


def loadable(extensions: Iterable[str]) -> tuple[list[Block], str]:
    """The blocks a server with these extensions can hold, and their DDL as one text."""
    have = frozenset(extensions)
    fitting = [block for block in blocks() if block.needs <= have]
    needed = sorted({name for block in fitting for name in block.needs})
    return fitting, "".join(f"CREATE EXTENSION {name};\n" for name in needed) + "\n".join(one.sql for one in fitting)
