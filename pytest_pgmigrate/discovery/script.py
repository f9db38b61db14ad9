"""One file of SQL becomes a Script: its bytes checked, lexed, classified; every trouble a Defect with a place."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from pytest_pgmigrate.discovery.base import printable, relative_name
from pytest_pgmigrate.discovery.directives import find_directives
from pytest_pgmigrate.discovery.sql.lexer import Diagnostic, Lexed, lex
from pytest_pgmigrate.discovery.sql.placeholders import Placeholder, find_placeholders
from pytest_pgmigrate.discovery.sql.statements import build_statements
from pytest_pgmigrate.model.migration import Chunk, Defect, Place, Script, TransactionRule

SIZE_LIMIT = 32 * 1024 * 1024
"""Larger files are data, not migrations; reading them statement by statement would take minutes."""

_LINE_BREAK = re.compile(r"\r\n|\n|\r")

_LEXICAL = {
    "quote": ("unterminated quote {text}", "close the quote; a quote inside a string is written twice"),
    "dollar-quote": ("unterminated dollar-quoted string {text}", "close it with the same tag {text}"),
    "comment": ("unterminated /* comment", "close it with */; comments nest in PostgreSQL"),
    "parenthesis": ("unclosed parenthesis", "close it: up to the end of the file everything belongs to this statement"),
    "atomic": ("unclosed BEGIN ATOMIC body", "close it with END"),
    "meta-command": (
        "psql meta-command {text}",
        "only psql knows it; migration tools send the text to the server: remove it or write it as SQL",
    ),
    "copy-data": (
        "{text} waits for data that only psql can send",
        "write the rows as INSERT … VALUES",
    ),
    "bom": (
        "the file starts with a byte order mark (U+FEFF)",
        "save it as UTF-8 without BOM: the server takes the mark for a syntax error",
    ),
}


def load_script(path: Path, root: Path, rule: TransactionRule = TransactionRule.IMPLICIT) -> Script:
    """Read and parse one file that its tool sends as one chunk. Never raises for what the file holds."""
    file = relative_name(path, root)
    content, checksum, problem = _read(path)
    if content is None:
        message, fix = problem or ("cannot be read", "")
        return Script(file, str(path), checksum, defects=(Defect("unreadable", Place(file), message, fix),))
    return parse_script(content, file, str(path), checksum, rule)


def load_stray(path: Path, root: Path) -> Script | None:
    """What a file that is no migration says to us: its directives, None without any. Its SQL is not judged.

    Lexed only when it speaks of us at all: it may be a dump of many megabytes.
    """
    content, checksum, _ = _read(path)
    if content is None or "pgmigrate" not in content.lower():
        return None
    script = parse_script(content, relative_name(path, root), str(path), checksum)
    malformed = tuple(defect for defect in script.defects if defect.kind == "directive")
    return replace(script, chunks=(), defects=malformed) if script.directives or malformed else None


def parse_script(
    text: str, file: str, path: str, checksum: str, rule: TransactionRule = TransactionRule.IMPLICIT
) -> Script:
    """Parse a file's text as one chunk; ``-- pgmigrate: no-transaction`` changes the rule to NONE."""
    lexed = lex(text)
    chunk = Chunk(text, file, rule, line_starts=line_starts(text))
    statements = build_statements(chunk, lexed)
    directives, malformed = find_directives(chunk, lexed, statements)
    if any(directive.word == "no-transaction" for directive in directives):
        rule = TransactionRule.NONE
    defects = (*_text_defects(chunk, lexed), *malformed)
    chunk = Chunk(text, file, rule, statements, line_starts=chunk.line_starts)
    return Script(file, path, checksum, (chunk,), directives, defects)


def line_starts(text: str) -> tuple[int, ...]:
    """Character offsets of the lines of a text."""
    return (0, *(match.end() for match in _LINE_BREAK.finditer(text)))


def _read(path: Path) -> tuple[str | None, str, tuple[str, str] | None]:
    try:
        mode = os.stat(path)
        if stat.S_ISDIR(mode.st_mode):
            return None, "", ("is a directory, not a file", "rename it: migration tools skip it without a word")
        if not stat.S_ISREG(mode.st_mode):
            return None, "", ("is not a regular file", "replace it by the file itself")
        if mode.st_size > SIZE_LIMIT:
            size = f"{mode.st_size / 1024 / 1024:.0f} MiB"
            return None, "", (f"is {size} large, more than {SIZE_LIMIT // 1024 // 1024} MiB", "load data apart")
        raw = path.read_bytes()
    except FileNotFoundError:
        return None, "", _missing(path)
    except OSError as error:
        return None, "", (f"cannot be read: {error.strerror or error}", "make the file readable, or remove it")
    checksum = hashlib.sha256(raw).hexdigest()
    if b"\0" in raw:
        hint = " (UTF-16?)" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        return None, checksum, (f"is binary: it holds a NUL byte{hint}", "save it as UTF-8 text")
    try:
        return raw.decode("utf-8"), checksum, None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}, line {line}"
        return None, checksum, (message, "save it as UTF-8")


def _missing(path: Path) -> tuple[str, str]:
    """What to say of a name that leads to no file: a link to nowhere, else a file that went away since it was listed."""
    try:
        target = printable(os.readlink(path))
    except OSError:
        return "is gone since the folder was listed", "run again"
    return f"is a symbolic link to {target}, which does not exist", "restore that file, or replace the link by the file"


def _text_defects(chunk: Chunk, lexed: Lexed) -> Iterator[Defect]:
    placeholders = find_placeholders(chunk.text, lexed)
    if placeholders:
        yield _template_defect(chunk, placeholders)
    # Behind a placeholder the text is not SQL yet: what the lexer stumbles over there has the same cause.
    limit = placeholders[0].offset if placeholders else len(chunk.text) + 1
    seen = sorted((d for d in lexed.diagnostics if d.offset < limit), key=lambda d: d.kind)
    for kind, group in groupby(seen, key=lambda d: d.kind):
        yield _lexical_defect(chunk, kind, list(group))


def _template_defect(chunk: Chunk, placeholders: tuple[Placeholder, ...]) -> Defect:
    distinct = list(dict.fromkeys(_short(p.text) for p in placeholders))
    more = f" and {len(distinct) - 3} more" if len(distinct) > 3 else ""
    message = f"unresolved template placeholder {', '.join(distinct[:3])}{more}"
    fix = "give the files as the template engine renders them, or write the value"
    return Defect("template", chunk.place(placeholders[0].offset), message, fix)


def _lexical_defect(chunk: Chunk, kind: str, diagnostics: list[Diagnostic]) -> Defect:
    first = min(diagnostics, key=lambda d: d.offset)
    message, fix = (part.format(text=_short(first.text)) for part in _LEXICAL[kind])
    if len(diagnostics) > 1:
        message += f" (and {len(diagnostics) - 1} more in this file)"
    return Defect("bom" if kind == "bom" else "lexical", chunk.place(first.offset), message, fix)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 40 else flat[:39] + "…"
