"""What a seeder may know beyond the Seeder protocol: versions, scripts of the user, what went wrong with them.

A seeder from the hook ``pytest_pgmigrate_make_seeder`` need not have any of it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_pgmigrate.errors import PgmigrateError
from pytest_pgmigrate.execution.database import OUR_SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.model.cluster import Seeder
    from pytest_pgmigrate.model.migration import Migration


def reached(seeder: Seeder | None, applied: Sequence[Migration]) -> bool:
    """Tell the seeder what has been applied to the database it fills next; whether it must be filled at this version."""
    tell = getattr(seeder, "at", None)
    return bool(tell is not None and tell(applied[-1].version if applied else ""))


def notes(seeder: Any, database: Database) -> tuple[str, ...]:
    """What the user should know of scripts and names given for seeding, after a last look at the database."""
    if not getattr(seeder, "fingerprint", ""):
        return ()
    # A server that is gone can show no names; what went wrong before is said all the same.
    with suppress(psycopg.Error, PgmigrateError):
        seeder.see(database.control, exclude_schemas=OUR_SCHEMAS)
    return tuple(seeder.notes())
