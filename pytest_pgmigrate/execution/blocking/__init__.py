"""What of the application is blocked while a statement of the migration is held.

Once per version the lock footprint of what an application does is recorded; at every hold point it is crossed with the
conflict matrix, and the same statements are really tried. How locks conflict:
https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES

Three limits. Statements are those of a session that plans them anew, which locks every index of a table: one that kept
its plan may get past the lock of a single index. Waiting for rows that the migration wrote is told apart and not counted.
Of rows that a trigger inserts, keys that are NULL lock the referenced table for too short a time to be seen.
"""

from __future__ import annotations

from pytest_pgmigrate.execution.blocking.blocking import Blocking
from pytest_pgmigrate.execution.blocking.queries import AppQuery, read_queries

__all__ = ["AppQuery", "Blocking", "read_queries"]
