"""Whether a migration failed by its own fault or only for want of what an earlier, failed one would have made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_pgmigrate.model.evidence import ServerError
    from pytest_pgmigrate.model.migration import Migration

# https://www.postgresql.org/docs/current/errcodes-appendix.html, class 42: the undefined things, and 3F000.
_UNDEFINED = {"42P01", "42703", "42704", "42883", "3F000", "42P10"}
_QUOTED = re.compile(r'"([^"]+)"')
_FUNCTION = re.compile(r"(?:function|procedure|routine|aggregate)\s+([\w.\"]+)\s*\(", re.IGNORECASE)


def _names_in(message: str) -> set[str]:
    """Object names that a server message speaks of, without schema."""
    names = set(_QUOTED.findall(message)) | set(_FUNCTION.findall(message))
    # 'column users.phone does not exist' comes unquoted when the column is qualified.
    names |= set(re.findall(r"column ([\w.]+) (?:of|does)", message))
    return {name.strip('"').rsplit(".", 1)[-1].lower() for name in names}


@dataclass(slots=True)
class Broken:
    """The migrations of this run that failed, and what they would have made."""

    _made: dict[str, str] = field(default_factory=dict)

    def add(self, migration: Migration) -> None:
        """Remember what a failed migration would have made."""
        for statement in migration.up.statements:
            for name in statement.creates:
                self._made.setdefault(name.rsplit(".", 1)[-1].strip('"').lower(), f"{name} of {migration.up.file}")

    def cause(self, error: ServerError | None) -> str:
        """Why the failure is a consequence, in words, or "" when it is a fault of its own."""
        if error is None or error.sqlstate not in _UNDEFINED:
            return ""
        wanted = sorted(_names_in(error.message) & set(self._made))
        return f"needs {self._made[wanted[0]]}, which failed" if wanted else ""


def missing_extension(error: ServerError | None, available: Collection[str]) -> str:
    """The extension that a failed CREATE EXTENSION wanted and this PostgreSQL does not have, or ""."""
    if error is None or error.statement is None or error.statement.kind != "create_extension_stmt":
        return ""
    if error.sqlstate not in ("0A000", "58P01", "22023"):
        return ""
    found = re.search(r"EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?\"?([\w-]+)", error.statement.text, re.IGNORECASE)
    name = found.group(1) if found else ""
    return name if name and name not in available else ""
