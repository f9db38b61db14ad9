"""Puts up and down files together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_pgmigrate.discovery.base import FileName, version_key


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file and what its name says."""

    path: Path
    parsed: FileName


Pairs = list[tuple[NamedFile, "NamedFile | None"]]


def pair_files(files: Sequence[NamedFile]) -> tuple[Pairs, list[NamedFile]]:
    """Each up with its down or None, in the order given; and the downs that belong to no up.

    A down belongs to the up with the same version and name; failing that to the only up left of its version, when it
    is the only down left of it (a description that was changed in one of the two names).
    """
    ups = [file for file in files if file.parsed.direction == "up"]
    downs = [file for file in files if file.parsed.direction == "down"]
    paired: dict[NamedFile, NamedFile] = {}
    for key in (_as_written, _by_number_and_name, _by_number):
        _match(ups, downs, key, paired)
    taken = set(paired.values())
    return [(up, paired.get(up)) for up in ups], [down for down in downs if down not in taken]


def _match(
    ups: Sequence[NamedFile],
    downs: Sequence[NamedFile],
    key: Callable[[NamedFile], Hashable],
    paired: dict[NamedFile, NamedFile],
) -> None:
    free_ups = _group([up for up in ups if up not in paired], key)
    taken = set(paired.values())
    free_downs = _group([down for down in downs if down not in taken], key)
    for value, candidates in free_ups.items():
        partners = free_downs.get(value, [])
        if len(candidates) == len(partners) == 1:
            paired[candidates[0]] = partners[0]


def _group(files: Sequence[NamedFile], key: Callable[[NamedFile], Hashable]) -> dict[Hashable, list[NamedFile]]:
    groups: dict[Hashable, list[NamedFile]] = {}
    for file in files:
        groups.setdefault(key(file), []).append(file)
    return groups


def _as_written(file: NamedFile) -> Hashable:
    return file.parsed.version, file.parsed.name


def _by_number_and_name(file: NamedFile) -> Hashable:
    return version_key(file.parsed.version), file.parsed.name


def _by_number(file: NamedFile) -> Hashable:
    return version_key(file.parsed.version)
