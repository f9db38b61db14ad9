"""Room 1: folders of files become histories. Reads files, git and the ledger; runs no migration."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_pgmigrate.discovery.base import Format
    from pytest_pgmigrate.model.migration import History


def discover(
    root: Path,
    folders: Sequence[Path],
    formats: Mapping[str, Format],
    *,
    since: str | None = None,
    ledger: str | None = None,
) -> list[History]:
    """The histories of these folders, or of those in the usual places under root when none is named.

    ``since`` leaves only what changed since the merge-base with that ref to be judged. The past is taken from
    ``ledger``, else from git. Raises UsageError for a folder, ledger or ref that cannot be used.
    """
    from pytest_pgmigrate.discovery.folders import find_folders, judge_only, load_history
    from pytest_pgmigrate.discovery.git import changed_since, record_from_merge_base
    from pytest_pgmigrate.discovery.record import read_record

    known = list(formats.values())
    named = {os.path.realpath(root / folder): folder for folder in folders}
    changed = changed_since(root, since) if since else None
    found = []
    for folder in named.values() if folders else find_folders(root, known):
        history = load_history(folder, root, known)
        record = read_record(ledger, history, root) if ledger else record_from_merge_base(history, root, since, known)
        history = replace(history, record=record)
        found.append(history if changed is None else judge_only(history, changed))
    return found


def is_history(folder: Path, formats: Mapping[str, Format]) -> bool:
    """Whether the folder holds migrations of one of these formats."""
    return any(known.detect(folder) for known in formats.values())
