"""The names of what we make: one random token per run, carried by every database, directory and container."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

PREFIX = "pgmigrate"
LONGEST = 63
"""Longest identifier in bytes: NAMEDATALEN - 1 (https://www.postgresql.org/docs/current/limits.html)."""

DATABASE = re.compile(r"pgmigrate_([0-9a-f]{8})_[a-z0-9_]+\Z")


def new_token() -> str:
    """Eight random hexadecimal digits; 32 bits, so that it can also be the key of an advisory lock."""
    return secrets.token_hex(4)


def database_name(token: str, label: str, taken: Container[str] = ()) -> str:
    """The name of a database of this run: ``pgmigrate_<token>_<label>``, at most 63 bytes, not among ``taken``."""
    clean = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") or "database"
    stem = f"{PREFIX}_{token}_"
    number = 1
    while True:
        tail = "" if number == 1 else f"_{number}"
        name = stem + clean[: LONGEST - len(stem) - len(tail)] + tail
        if name not in taken:
            return name
        number += 1


def token_of(database: str) -> str | None:
    """The token in a database's name, or None when it is not one of ours."""
    match = DATABASE.match(database)
    return match.group(1) if match else None
