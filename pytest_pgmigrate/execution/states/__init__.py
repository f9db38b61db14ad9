"""States of a database: read, compared, and the differing rows shown."""

from pytest_pgmigrate.execution.states.ahead import Ran
from pytest_pgmigrate.execution.states.compare import compare, without_views
from pytest_pgmigrate.execution.states.reader import StateReader
from pytest_pgmigrate.execution.states.roles import read_roles
from pytest_pgmigrate.execution.states.rows import Kept, keep, locate, locate_kept, locate_without_before

__all__ = [
    "Kept",
    "Ran",
    "StateReader",
    "compare",
    "keep",
    "locate",
    "locate_kept",
    "locate_without_before",
    "read_roles",
    "without_views",
]
