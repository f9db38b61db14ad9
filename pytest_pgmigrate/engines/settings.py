"""Server settings of the clusters that we start, and the user's own ones on top."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_pgmigrate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS = {
    # The data is thrown away: nothing needs to survive a crash of the machine.
    "fsync": "off",
    "full_page_writes": "off",
    # Left on: only flushed WAL is sent to the replica, and without fsync it costs nothing.
    "synchronous_commit": "on",
    "wal_level": "replica",
    "hot_standby": "on",
    "max_wal_senders": "10",
    "wal_keep_size": "512MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "30min",
    "shared_buffers": "64MB",
    "wal_retrieve_retry_interval": "100ms",
    "wal_receiver_status_interval": "1s",
    # Segments in the data directory instead of /dev/shm, where a killed server would leave them.
    "dynamic_shared_memory_type": "mmap",
    # What runs at moments of its own makes runs differ, takes locks and keeps templates busy.
    "autovacuum": "off",
    "jit": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "unix_socket_permissions": "0700",
}

SETTINGS_18 = {
    # Clones share blocks where the file system can; elsewhere it copies.
    "file_copy_method": "clone",
    "io_method": "sync",
}

# A standby refuses to start with less than the primary ever had, which includes what initdb wrote into pg_control
# (https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN).
STANDBY_MINIMUM = {
    "max_connections": 100,
    "max_worker_processes": 8,
    "max_wal_senders": 10,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}


def base_settings(major: int) -> dict[str, str]:
    """The settings for one major version."""
    return {**SETTINGS, **(SETTINGS_18 if major >= 18 else {})}


def checked(wanted: Mapping[str, str]) -> dict[str, str]:
    """The user's settings, names in lower case. Raises UsageError for what cannot be a setting."""
    for name, value in wanted.items():
        if not re.fullmatch(r"[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)?", name) or re.search(r"[\n\r\0]", value):
            raise UsageError(f"not a server setting: {name!r} = {value!r}")
    return {name.lower(): value for name, value in wanted.items()}


def for_standby(settings: Mapping[str, str]) -> dict[str, str]:
    """The same settings for a standby, raised to what it needs in order to start."""
    raised = dict(settings)
    for name, least in STANDBY_MINIMUM.items():
        if name in raised and raised[name].isdigit() and int(raised[name]) < least:
            raised[name] = str(least)
    return raised


def as_file(settings: Mapping[str, str]) -> str:
    """Lines for postgresql.conf."""
    lines = (
        f"{name} = '{value.replace(chr(92), chr(92) * 2).replace(chr(39), chr(39) * 2)}'\n"
        for name, value in settings.items()
    )
    return "".join(lines)


def as_arguments(settings: Mapping[str, str]) -> list[str]:
    """Arguments for the ``postgres`` program."""
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
