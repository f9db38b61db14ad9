"""What ``--pgmigrate-ignore-data`` left out, as JSON values and as lines of the summary: it is never left out in silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_pgmigrate.model.evidence import IgnoredData, MigrationEvidence

Entry = dict[str, Any]


def ignored_entries(patterns: Iterable[str], evidence: Iterable[MigrationEvidence]) -> list[Entry]:
    """One entry for each pattern and column (``""``: the whole table); one without a table for a pattern never used.

    ``rows`` is the largest number that differed in one step, 0 where none were counted.
    """
    entries: list[Entry] = []
    for seen in evidence:
        for item in _of(seen):
            entry = {"pattern": item.pattern, "table": item.table, "column": item.column, "rows": item.rows}
            entries.append({**entry, "migrations": [seen.migration.key]})
    unused = [{"pattern": p, "table": "", "column": "", "rows": 0, "migrations": []} for p in patterns]
    return merge_ignored(entries, unused)


def _of(evidence: MigrationEvidence) -> Iterator[IgnoredData]:
    for step in (evidence.up, evidence.down, evidence.again, evidence.rerun):
        if step is not None:
            yield from step.ignored
    yield from evidence.later.ignored


def merge_ignored(left: Iterable[Entry], right: Iterable[Entry]) -> list[Entry]:
    """Entries of several migrations or workers joined; a pattern that was used anywhere is not unused."""
    joined: dict[tuple[str, str, str], Entry] = {}
    for entry in (*left, *right):
        key = (entry["pattern"], entry["table"], entry["column"])
        known = joined.setdefault(key, {**entry, "migrations": []})
        known["rows"] = max(known["rows"], entry["rows"])
        known["migrations"] = list(dict.fromkeys([*known["migrations"], *entry["migrations"]]))
    used = {pattern for pattern, table, _ in joined if table}
    return [entry for (pattern, table, _), entry in joined.items() if table or pattern not in used]


def ignored_lines(entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """``ignored data: public.users.updated_at differs in 20 rows (…)``; patterns that fit nothing last."""
    unused = []
    for entry in entries:
        if not entry["table"]:
            unused.append(entry["pattern"])
            continue
        name = ".".join(part for part in (entry["table"], entry["column"]) if part)
        count = entry["rows"]
        rows = f" in {count} row{'s' if count > 1 else ''}" if count else ""
        where = ", ".join(entry["migrations"][:3]) + (", …" if len(entry["migrations"]) > 3 else "")
        yield f"ignored data: {name} differs{rows} ({where}): pgmigrate_ignore_data {entry['pattern']}"
    for pattern in unused:
        yield f"ignored data: nothing that differs fits pgmigrate_ignore_data {pattern}"
