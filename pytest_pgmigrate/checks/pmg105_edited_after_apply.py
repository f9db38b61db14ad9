"""A migration changed after it was applied."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import History, Place
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _same(recorded: str, checksum: str) -> bool:
    """Ledgers hold SHA-256 in hexadecimal, in either case, some of them shortened."""
    wanted = recorded.strip().lower().removeprefix("sha256:")
    return len(wanted) >= 8 and checksum.startswith(wanted)


@check("PMG105", "edited-after-apply", part=Part.HISTORY, severity=Severity.ERROR)
def edited_after_apply(history: History, settings: Settings) -> Iterator[Observation]:
    """A migration that was applied elsewhere has another text now.

    Why it matters:
    A migration tool does not run a version twice. Whoever applied the old text never gets the new one, so that
    production and a new database differ silently.

    How it is measured:
    The file's SHA-256 against the checksum in pgmigrate_ledger, or, without one, against the file at the git merge-
    base with the default branch.

    How to fix:
    Put the old text back and write a new migration for the change.

    When to ignore:
    When the edit cannot change the result (a comment, say) and every ledger was corrected.

    References:
    https://www.postgresql.org/docs/current/functions-binarystring.html (sha256)
    """
    record = history.record
    known = {
        row.filename.rsplit("/", 1)[-1]: row for row in record.rows if row.filename and row.checksum and row.success
    }
    # A ledger that keeps no file names: the version says which file was meant, where only one has it.
    nameless = [row for row in record.rows if not row.filename and row.checksum and row.success]
    versions = [m.version for m in history.migrations]
    by_version = {row.version: row for row in nameless if versions.count(row.version) == 1}
    for migration in history.migrations:
        name = migration.up.file.rsplit("/", 1)[-1]
        row = known.get(name) or by_version.get(migration.version)
        if row is None or row.checksum is None or _same(row.checksum, migration.up.checksum):
            continue
        where = "the ledger" if record.source == "ledger" else f"git ({record.detail})"
        yield Observation(
            place=Place(migration.up.file),
            message=f"the file is not the one that {where} knows: SHA-256 {migration.up.checksum[:12]}…, "
            f"recorded {row.checksum[:12]}…",
            effect="databases that applied the old text keep the old schema, new ones get the new text; they differ from now on",
            fix=f"restore {name} as it was applied and put the change into a new migration",
            observed={"checksum": migration.up.checksum, "recorded": row.checksum, "source": record.source},
            migration=migration.key,
        )
