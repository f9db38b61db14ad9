"""Row level security without a policy that lets anybody through."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.checks._common import first_line, last_part, short
from pytest_pgmigrate.checks._locks import about, lock_facts, watched
from pytest_pgmigrate.checks._sql import derived, qualified
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.model.migration import Script
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


def _has_policy(script: Script, table: str) -> bool:
    policies = [s for s in script.statements if s.kind == "create_policy_stmt"]
    return any(last_part(name) == last_part(table) for s in policies for name in s.relations)


@check("PMG325", "row-security-without-policy", part=Part.LOCKS, severity=Severity.WARNING)
def row_security_without_policy(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """Row level security is enabled on a table in use, and no policy comes with it.

    Why it matters:
    Without a policy everything is denied: from that moment every role but the owner (and superusers) sees an empty
    table and can write nothing, without an error on reading.

    How it is measured:
    The up enables row security on a table that existed before, and none of its statements creates a policy for it.

    How to fix:
    CREATE POLICY first, in the same migration; USING (true) lets everything through until the real ones come.

    When to ignore:
    When an earlier migration has created the policies, or only the owner uses the table.

    References:
    https://www.postgresql.org/docs/current/ddl-rowsecurity.html
    """
    for item in watched(evidence):
        seen = item.seen
        if item.down or seen.failed or "ALTER TABLE: EnableRowSecurity" not in seen.statement.kinds:
            continue
        lock = next(
            (held for held in seen.held if held.relation.holds_rows and about(seen.statement, held.relation)), None
        )
        if lock is None or _has_policy(evidence.migration.up, lock.relation.name):
            continue
        name = lock.relation.name
        yield Observation(
            place=seen.statement.place,
            message=f"row level security is enabled on {short(name)}, and this migration creates no policy for it",
            effect=f"every role but the owner sees {short(name)} as empty, and its INSERT and UPDATE fail",
            fix=f"before it: CREATE POLICY {derived(name, 'all')} ON {qualified(name)} USING (true); "
            "then replace it by the policies you want",
            observed=lock_facts(item, lock),
            details=(f"statement: {first_line(seen.statement.text)}",),
        )
