"""A copy of a running primary's data directory, by PostgreSQL's own rules for backups.

https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP: between
``pg_backup_start`` and ``pg_backup_stop`` the files may be copied as they are; with the WAL written meanwhile and the label
that the second one returns, a server started from the copy comes to the state of the moment of ``pg_backup_stop``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from pytest_pgmigrate.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

# What a base backup leaves out too (same page, "Backing Up The Data Directory").
_EMPTIED = re.compile(
    r"(?:pg_wal|pg_replslot|pg_dynshmem|pg_notify|pg_serial|pg_snapshots|pg_stat|pg_stat_tmp|pg_subtrans)/"
    r"|(?:postmaster\.(?:pid|opts)|current_logfiles|backup_label(?:\.old)?|tablespace_map(?:\.old)?|backup_manifest)\Z"
    r"|(?:.*/)?(?:pgsql_tmp[^/]*|pg_internal\.init[^/]*)(?:/|\Z)|.*/t\d+_\d+(?:[._]\w+)?\Z"
)
_SEGMENT = re.compile(r"[0-9A-F]{24}\Z")
_FIRST = re.compile(r"^START WAL LOCATION: .*\(file ([0-9A-F]{24})\)", re.MULTILINE)

# What a copy would bring back otherwise than it is: recovery empties unlogged relations, slots and subscriptions belong to
# connections, a tablespace lies elsewhere, a setting of ALTER SYSTEM would apply before anybody reloads it.
_OTHERWISE = """
SELECT what FROM (VALUES
  ('an unlogged relation', (SELECT count(*) FROM pg_catalog.pg_class WHERE relpersistence = 'u')),
  ('a database of its own', (SELECT count(*) FROM pg_catalog.pg_database
                             WHERE oid >= 16384 AND datname <> pg_catalog.current_database())),
  ('a tablespace', (SELECT count(*) FROM pg_catalog.pg_tablespace WHERE oid >= 16384)),
  ('a replication slot', (SELECT count(*) FROM pg_catalog.pg_replication_slots)),
  ('a subscription', (SELECT count(*) FROM pg_catalog.pg_subscription)),
  ('a prepared transaction', (SELECT count(*) FROM pg_catalog.pg_prepared_xacts)),
  ('a setting of ALTER SYSTEM', (SELECT count(*) FROM pg_catalog.pg_file_settings
                                 WHERE sourcefile ~ 'postgresql[.]auto[.]conf$'))
) AS t (what, number) WHERE number > 0
"""


def cannot_be_kept(connection: psycopg.Connection[Any]) -> str:
    """What the only database of ours holds that a copy would not bring back as it is, or ""."""
    row = connection.execute(_OTHERWISE).fetchone()
    return str(row[0]) if row else ""


class Target(Protocol):
    """Where the copy goes: a packed file, or another directory."""

    def tree(self, directory: Path, keep: Callable[[str], bool]) -> None:
        """Take all folders below a directory, and its plain files for which ``keep`` says yes to the relative name."""

    def file(self, path: Path, name: str) -> None:
        """Take one file."""

    def data(self, name: str, content: bytes) -> None:
        """Take a file with this content."""


def copy_running(connection: psycopg.Connection[Any], data: Path, target: Target) -> None:
    """Copy the data directory of the server that ``connection`` (a superuser's, in autocommit) is connected to.

    Raises psycopg.Error, OSError, EngineError.
    """
    if connection.info.server_version >= 150000:
        start, stop = "pg_backup_start('pytest-pgmigrate', true)", "pg_backup_stop(false)"
    else:
        start, stop = "pg_start_backup('pytest-pgmigrate', true, false)", "pg_stop_backup(false, false)"
    connection.execute(f"SELECT pg_catalog.{start}".encode())
    target.tree(data, lambda name: not _EMPTIED.match(name))
    query = f"SELECT labelfile, spcmapfile, pg_catalog.pg_walfile_name(lsn) FROM pg_catalog.{stop}"
    label, tablespaces, last = connection.execute(query.encode()).fetchall()[0]
    first = _FIRST.search(label)
    if first is None or tablespaces.strip():
        raise EngineError("the server's backup label is not understood")
    target.data("backup_label", label.encode())
    for segment in sorted((data / "pg_wal").iterdir()):
        if _SEGMENT.match(segment.name) and first.group(1) <= segment.name <= last:
            target.file(segment, f"pg_wal/{segment.name}")
