"""What --pgmigrate-list and --pgmigrate-explain print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.migration import History
from pytest_pgmigrate.registry import Check

_PACKAGE = Path(__file__).resolve().parent


def fixtures_of(code: str) -> dict[str, list[Path]]:
    """The bad and the good example of a check: their SQL files, in order; empty where there are none."""
    for root in (_PACKAGE / "_fixtures" / "checks", _PACKAGE.parent / "fixtures" / "checks"):
        if (root / code).is_dir():
            return {kind: sorted((root / code / kind).rglob("*.sql")) for kind in ("bad", "good")}
    return {"bad": [], "good": []}


def explain(checks: Iterable[Check], word: str) -> str:
    """One check's manual page with its examples. Raises UsageError for a code or slug that no check has."""
    checks = list(checks)
    for check in checks:
        if word.upper() == check.code or word.lower() == check.slug:
            break
    else:
        near = [c.code for c in checks if word.lower() in c.slug or c.code.startswith(word.upper())]
        hint = f"; did you mean {', '.join(near[:5])}?" if near else "; --pgmigrate-list shows them all"
        raise UsageError(f"no check has the code or slug {word!r}{hint}")
    lines = [f"{check.code} {check.slug} ({check.severity.value}, part {check.part.value})", "", check.documentation]
    for kind, files in fixtures_of(check.code).items():
        for file in files:
            lines += ["", f"{kind.capitalize()} example, {file.name}:", ""]
            lines += [
                f"    {line}".rstrip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
            ]
    return "\n".join(lines)


def listing(histories: Sequence[History], checks: Sequence[Check]) -> str:
    """The histories that would be run, and the checks that would judge them."""
    lines = []
    for history in histories:
        lines.append(f"{history.folder} ({history.format}, {len(history.migrations)} migrations)")
        for migration in history.migrations:
            notes = [] if migration.down else ["no down"]
            notes += [d.word for d in migration.up.directives]
            notes += [] if migration.judged else ["applied only"]
            lines.append(f"  {migration.key}" + (f"  [{', '.join(notes)}]" if notes else ""))
    if not histories:
        lines.append("no folder of migrations found; name one with --pgmigrate-path")
    lines += ["", f"{len(checks)} checks"]
    lines += [f"  {c.code} {c.slug:<40} {c.severity.value:<8} {c.part.value}" for c in checks]
    return "\n".join(lines)
