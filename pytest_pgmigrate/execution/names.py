"""Names of objects: as written in SQL (``public."Users"``) and as the catalog has them (``public.Users``)."""

from __future__ import annotations

import re

_PART = re.compile(r'"((?:[^"]|"")*)"|([^.]+)')


def parts(name: str) -> list[str]:
    """The parts of a name as written in SQL, without quotes."""
    return [quoted.replace('""', '"') if quoted or not bare else bare for quoted, bare in _PART.findall(name)]


def plain(name: str) -> str:
    """A name as the catalog has it."""
    return ".".join(parts(name))
