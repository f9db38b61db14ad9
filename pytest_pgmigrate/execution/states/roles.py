"""What all databases of a server share: roles, their memberships, settings and privileges on parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from pytest_pgmigrate.model.state import Attributes

# Roles named pg_… are predefined: https://www.postgresql.org/docs/current/predefined-roles.html
# Who may read pg_authid sees that a password changed, as a digest of what is stored, never the password.
_ROLES = """
    select r.oid::int8, r.rolname::text, jsonb_build_object(
        'superuser', r.rolsuper, 'inherit', r.rolinherit, 'create_role', r.rolcreaterole, 'create_db', r.rolcreatedb,
        'login', r.rolcanlogin, 'replication', r.rolreplication, 'bypass_rls', r.rolbypassrls,
        'connection_limit', r.rolconnlimit, 'valid_until', r.rolvaliduntil::text, 'password', {password},
        'comment', shobj_description(r.oid, 'pg_authid'),
        'settings', (select to_jsonb(s.setconfig) from pg_db_role_setting s where s.setdatabase = 0 and s.setrole = r.oid),
        'member_of', (select jsonb_agg(concat_ws(' ', pg_get_userbyid(m.roleid), case when m.admin_option then 'with admin' end,
            {options} 'granted by ' || pg_get_userbyid(m.grantor)) order by m.roleid::regrole::text, m.grantor::regrole::text)
            from pg_auth_members m where m.member = r.oid),
        'parameters', {parameters})
    from {catalog} r where r.rolname !~ '^pg_'
"""
_OPTIONS_16 = """case when not m.inherit_option then 'without inherit' end,
            case when not m.set_option then 'without set' end,"""
_PARAMETERS = """(select jsonb_agg(p.parname || ' ' || x.privilege_type order by p.parname, x.privilege_type)
            from pg_parameter_acl p, aclexplode(p.paracl) x where x.grantee = r.oid and r.oid <> 10)"""
_PUBLIC_PARAMETERS = """
    select jsonb_agg(p.parname || ' ' || x.privilege_type order by p.parname, x.privilege_type)
    from pg_parameter_acl p, aclexplode(p.paracl) x where x.grantee = 0
"""


def read_roles(connection: psycopg.Connection[Any]) -> dict[str, Attributes]:
    """Attributes by role name; ``PUBLIC`` stands for everyone. Passwords are not shown."""
    return read_roles_with_oids(connection)[0]


def read_roles_with_oids(connection: psycopg.Connection[Any]) -> tuple[dict[str, Attributes], dict[int, str]]:
    """``read_roles`` and the names by OID, by which a renamed role is recognised."""
    version = connection.info.server_version
    row = connection.execute("select current_setting('is_superuser') = 'on'", prepare=True).fetchone()
    superuser = bool(row and row[0])
    query = _ROLES.format(
        password="md5(r.rolpassword)" if superuser else "null",
        catalog="pg_authid" if superuser else "pg_roles",
        options=_OPTIONS_16 if version >= 160000 else "",
        parameters=_PARAMETERS if version >= 150000 else "null",
    )
    found: dict[str, Attributes] = {}
    names: dict[int, str] = {}
    for oid, name, attributes in connection.execute(query, prepare=True):
        attributes["settings"] = sorted(attributes["settings"] or ())
        found[name] = attributes
        names[oid] = name
    if version >= 150000:
        public = connection.execute(_PUBLIC_PARAMETERS, prepare=True).fetchone()
        if public is not None and public[0]:
            found["PUBLIC"] = {"parameters": public[0]}
    return found, names
