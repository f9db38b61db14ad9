"""What all databases of a server share: roles, their memberships and settings, replication slots and ALTER SYSTEM.

Lane A and lane B run on one server, so what one of them did to a role would meet the other. It is recorded before a
migration and put back between the lanes. https://www.postgresql.org/docs/current/catalog-pg-authid.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_pgmigrate.model.cluster import Cluster
    from pytest_pgmigrate.model.migration import Migration
    from pytest_pgmigrate.model.state import Attributes

# Written in the text, also inside DO blocks and functions.
_TOUCHES = re.compile(
    r"\b(?:CREATE|ALTER|DROP)\s+(?:ROLE|USER(?!\s+MAPPING)|GROUP|TABLESPACE)\b|\bALTER\s+SYSTEM\b"
    r"|\b(?:CREATE|DROP|ALTER)\s+DATABASE\b|\b(?:DROP|REASSIGN)\s+OWNED\b",
    re.IGNORECASE,
)
_SYSTEM = re.compile(r"\bALTER\s+SYSTEM\b", re.IGNORECASE)

_SLOT = re.compile(r"replication_slot", re.IGNORECASE)

_FINGERPRINT = """
SELECT (SELECT coalesce(sum(hashtextextended(xmin::text, oid::int8)), 0) FROM pg_catalog.pg_authid),
       (SELECT coalesce(sum(hashtextextended(xmin::text || '/' || roleid || '/' || member, 0)), 0)
          FROM pg_catalog.pg_auth_members),
       (SELECT coalesce(sum(hashtextextended(xmin::text || '/' || setdatabase || '/' || setrole, 0)), 0)
          FROM pg_catalog.pg_db_role_setting WHERE setdatabase = 0)
"""
_FLAGS = ("SUPERUSER", "INHERIT", "CREATEROLE", "CREATEDB", "LOGIN", "REPLICATION", "BYPASSRLS")
_ROLES = """
SELECT r.rolname::text,
       ARRAY[rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls],
       rolconnlimit, rolpassword, rolvaliduntil::text,
       (SELECT array_agg(g.rolname::text ORDER BY g.rolname) FROM pg_catalog.pg_auth_members m
          JOIN pg_catalog.pg_authid g ON g.oid = m.roleid WHERE m.member = r.oid),
       (SELECT setconfig FROM pg_catalog.pg_db_role_setting WHERE setrole = r.oid AND setdatabase = 0)
  FROM pg_catalog.pg_authid r WHERE r.oid >= 16384 OR r.rolname !~ '^pg_'
"""
_SLOTS = "SELECT slot_name::text FROM pg_catalog.pg_replication_slots WHERE NOT active"
_AUTO = "SELECT name, setting FROM pg_catalog.pg_file_settings WHERE sourcefile ~ 'postgresql\\.auto\\.conf$'"


@dataclass(frozen=True, slots=True)
class _Role:
    flags: tuple[bool, ...]
    limit: int
    password: str | None
    until: str | None
    member_of: tuple[str, ...]
    settings: tuple[str, ...]


class ServerWide:
    """Records and puts back what databases share, on servers that are ours. On others such migrations are not run."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ours = "server_settings" in cluster.capabilities
        self._connection: psycopg.Connection[Any] | None = None
        self._mark: tuple[Any, ...] | None = None
        self._roles: dict[str, _Role] = {}
        self._auto: dict[str, str] | None = None
        self._slots: set[str] | None = None
        self._seen: Mapping[str, Attributes] | None = None
        self._parked: dict[str, str] = {}
        self._after: dict[str, _Role] = {}

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """A connection to the maintenance database."""
        if self._connection is None or self._connection.closed:
            self._connection = self._cluster.connect(self._cluster.maintenance_database)
        return self._connection

    def refuses(self, migration: Migration) -> str:
        """Why this migration must not run on this server, or ""."""
        if self._ours:
            return ""
        texts = [chunk.text for script in (migration.up, migration.down) if script for chunk in script.chunks]
        found = next((match for text in texts for match in _TOUCHES.finditer(text)), None)
        if found is None:
            return ""
        what = " ".join(found.group(0).upper().split())
        return f"{what} changes what all databases of the server share, and this server is not ours"

    def begin(self, migration: Migration, roles: Mapping[str, Attributes] | None = None) -> None:
        """Record the roles, and the ALTER SYSTEM settings and replication slots when the migration touches those.

        ``roles`` as the state before the migration has them: while they are the same, nothing is asked again.
        """
        if not self._ours:
            return
        if roles is None or self._mark is None or roles != self._seen:
            self._roles, self._mark, self._seen = self._read(), self._fingerprint(), roles
        texts = [chunk.text for script in (migration.up, migration.down) if script for chunk in script.chunks]
        self._slots = self._read_slots() if any(_SLOT.search(text) for text in texts) else None
        if any(_SYSTEM.search(text) for text in texts):
            self._auto = dict(self.connection.execute(_AUTO).fetchall())

    def commit(self) -> None:
        """What the migration did to roles stays; ALTER SYSTEM settings do not reach the next migration."""
        if self._ours:
            self._restore_settings()

    def restore(self) -> None:
        """Put everything back as it was at ``begin``."""
        if not self._ours:
            return
        self._restore_settings()
        self._drop_slots(self._slots)
        if self._fingerprint() != self._mark:
            self._put(self._roles)
            self._mark = self._fingerprint()

    def park(self) -> None:
        """Give lane B the roles of n-1, though the work database stands at n: its own new roles step aside by name."""
        if not self._ours:
            return
        self._drop_slots(self._slots)
        if self._fingerprint() == self._mark:
            return
        self._after = self._read()
        for number, name in enumerate(sorted(set(self._after) - set(self._roles))):
            aside = f"pgmigrate_parked_{number}"
            self._run("ALTER ROLE {} RENAME TO {}", name, aside)
            self._parked[name] = aside
        self._put(self._roles, keep=set(self._parked.values()))

    def unpark(self) -> None:
        """The roles of n again, after lane B's database is gone."""
        if not self._ours or not self._after:
            return
        for name in sorted(set(self._read()) - set(self._parked.values()) - set(self._roles)):
            self._run("DROP ROLE IF EXISTS {}", name)
        for name, aside in self._parked.items():
            self._run("DROP ROLE IF EXISTS {}", name)
            self._run("ALTER ROLE {} RENAME TO {}", aside, name)
        self._parked = {}
        self._put(self._after)
        self._after = {}

    def close(self) -> None:
        """Roles made by the history go with it, so that the next history starts from a clean server."""
        if self._ours and self._mark is not None:
            self._drop_slots(set())
            for name in sorted(set(self._read()) - {self._cluster.primary.user}):
                self._run("DROP ROLE IF EXISTS {}", name)
        if self._connection is not None:
            self._connection.close()

    # -- replication slots -------------------------------------------------------------------------------------------

    def _read_slots(self) -> set[str]:
        return {name for (name,) in self.connection.execute(_SLOTS).fetchall()}

    def _drop_slots(self, keep: set[str] | None) -> None:
        """Drop the slots that are not among ``keep``; None: the migration has nothing to do with slots."""
        if keep is None:
            return
        for name in self._read_slots() - keep:
            self.connection.execute("SELECT pg_catalog.pg_drop_replication_slot(%s)", (name,))

    # -- roles ------------------------------------------------------------------------------------------------------

    def _fingerprint(self) -> tuple[Any, ...]:
        return tuple(self.connection.execute(_FINGERPRINT).fetchall()[0])

    def _read(self) -> dict[str, _Role]:
        return {
            name: _Role(tuple(flags), limit, password, until, tuple(groups or ()), tuple(config or ()))
            for name, flags, limit, password, until, groups, config in self.connection.execute(_ROLES).fetchall()
        }

    def _run(self, text: str, *names: str) -> bool:
        try:
            self.connection.execute(sql.SQL(text).format(*map(sql.Identifier, names)))
        except psycopg.Error:
            # A role that still owns something, or the role we are logged in as: left as it is, seen as a difference.
            return False
        return True

    def _put(self, wanted: Mapping[str, _Role], keep: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        now = self._read()
        for name in sorted(set(now) - set(wanted) - keep):
            self._run("DROP ROLE IF EXISTS {}", name)
        for name in wanted.keys() - now.keys():
            self._run("CREATE ROLE {}", name)
        for name, role in wanted.items():
            if now.get(name) != role:
                self._shape(name, role, now.get(name))

    def _shape(self, name: str, role: _Role, now: _Role | None) -> None:
        words = " ".join(word if on else f"NO{word}" for word, on in zip(_FLAGS, role.flags, strict=True))
        self._run(f"ALTER ROLE {{}} {words} CONNECTION LIMIT {role.limit}", name)
        identifier = sql.Identifier(name)
        password = sql.SQL("ALTER ROLE {} PASSWORD {}").format(identifier, sql.Literal(role.password))
        until = sql.SQL("ALTER ROLE {} VALID UNTIL {}").format(identifier, sql.Literal(role.until or "infinity"))
        if now is None or now.password != role.password:
            self.connection.execute(password)
        if now is None or now.until != role.until:
            self.connection.execute(until)
        groups = set(now.member_of) if now else set()
        for group in sorted(set(role.member_of) - groups):
            self._run("GRANT {} TO {}", group, name)
        for group in sorted(groups - set(role.member_of)):
            self._run("REVOKE {} FROM {}", group, name)
        if now is None or now.settings != role.settings:
            self._run("ALTER ROLE {} RESET ALL", name)
            for setting in role.settings:
                key, _, value = setting.partition("=")
                self.connection.execute(
                    sql.SQL("ALTER ROLE {} SET {} = {}").format(identifier, sql.Identifier(key), sql.Literal(value))
                )

    # -- ALTER SYSTEM -----------------------------------------------------------------------------------------------

    def _restore_settings(self) -> None:
        if self._auto is None:
            return
        now = dict(self.connection.execute(_AUTO).fetchall())
        for name in now.keys() - self._auto.keys():
            self._run("ALTER SYSTEM RESET {}", name)
        for name, value in self._auto.items():
            if now.get(name) != value:
                self.connection.execute(
                    sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
                )
        self.connection.execute("SELECT pg_catalog.pg_reload_conf()")
        self._auto = None
