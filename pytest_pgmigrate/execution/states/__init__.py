"""States of a database: read, compared, and the differing rows shown."""

from pytest_pgmigrate.execution.states.compare import compare
from pytest_pgmigrate.execution.states.reader import StateReader
from pytest_pgmigrate.execution.states.roles import read_roles
from pytest_pgmigrate.execution.states.rows import locate, locate_without_before

__all__ = ["StateReader", "compare", "locate", "locate_without_before", "read_roles"]
