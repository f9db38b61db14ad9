"""An extension that the engine lacks."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Part, Severity
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation, check


@check("PMG208", "extension-unavailable", part=Part.APPLY, severity=Severity.ERROR)
def extension_unavailable(evidence: MigrationEvidence, settings: Settings) -> Iterator[Observation]:
    """The up creates an extension that this PostgreSQL does not have.

    Why it matters:
    The migration could not be examined: the fault lies in the server used for the examination, not necessarily in
    the migration.

    How it is measured:
    CREATE EXTENSION fails and pg_available_extensions does not list the name.

    How to fix:
    Run on a server that has it: --pgmigrate-engine=docker with --pgmigrate-image, or --pgmigrate-engine=local with
    the contrib package installed.

    When to ignore:
    Never.

    References:
    https://www.postgresql.org/docs/current/sql-createextension.html
    """
    step = evidence.up
    if not evidence.missing_extension or step is None or step.error is None:
        return
    name = evidence.missing_extension
    yield Observation(
        place=step.error.place,
        message=f"the {evidence.engine} engine's PostgreSQL has no extension {name}",
        effect="nothing of this migration was examined; production may well have the extension",
        fix=f"use a server that has {name}: --pgmigrate-engine=docker --pgmigrate-image=<image with {name}>, "
        "or --pgmigrate-engine=local with the package that holds it",
        observed={"extension": name, "engine": evidence.engine},
    )
