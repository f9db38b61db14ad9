"""Roles and ALTER SYSTEM are shared by all databases of a server: they are put back between lanes."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.execution.server_wide import ServerWide
from pytest_pgmigrate.model.cluster import Cluster
from tests.execution.conftest import MakeHistory

ATTRIBUTES = (
    "SELECT rolcanlogin, rolcreatedb, rolconnlimit, rolpassword, rolvaliduntil::text FROM pg_authid WHERE rolname = %s"
)


@pytest.fixture
def shared(cluster: Cluster) -> ServerWide:
    return ServerWide(cluster)


def test_made_dropped_and_changed_roles_are_put_back(shared: ServerWide, make_history: MakeHistory) -> None:
    [migration] = make_history(("CREATE ROLE made;", "DROP ROLE made;")).migrations
    run = shared.connection.execute
    run("CREATE ROLE app LOGIN CREATEDB CONNECTION LIMIT 3 PASSWORD 'secret' VALID UNTIL '2031-01-01'")
    run("CREATE ROLE doomed NOLOGIN")
    run("GRANT doomed TO app")
    before = run(ATTRIBUTES, ("app",)).fetchall()
    shared.begin(migration)

    run("CREATE ROLE made")
    run("ALTER ROLE app NOLOGIN NOCREATEDB CONNECTION LIMIT 9 PASSWORD 'other' VALID UNTIL 'infinity'")
    run("ALTER ROLE app SET work_mem = '1MB'")
    run("DROP ROLE doomed")
    shared.restore()

    assert run(ATTRIBUTES, ("app",)).fetchall() == before
    assert run("SELECT rolname FROM pg_roles WHERE rolname IN ('made', 'doomed')").fetchall() == [("doomed",)]
    assert run("SELECT pg_has_role('app', 'doomed', 'MEMBER')").fetchall() == [(True,)]
    assert run("SELECT count(*) FROM pg_db_role_setting WHERE setrole = 'app'::regrole").fetchall() == [(0,)]
    shared.close()


def test_lane_b_sees_the_roles_of_before_while_the_work_database_keeps_its_own(
    cluster: Cluster, shared: ServerWide, make_history: MakeHistory
) -> None:
    [migration] = make_history(("CREATE ROLE reader;", "DROP ROLE reader;")).migrations
    shared.begin(migration)
    run = shared.connection.execute
    run("CREATE ROLE reader")
    work = cluster.create_database("roles")
    with cluster.connect(work) as connection:
        connection.execute("CREATE TABLE t (id int)")
        connection.execute("GRANT SELECT ON t TO reader")

    shared.park()
    assert run("SELECT count(*) FROM pg_roles WHERE rolname = 'reader'").fetchall() == [(0,)]
    run("CREATE ROLE reader")  # as lane B's up does
    shared.unpark()

    with cluster.connect(work) as connection:
        assert connection.execute("SELECT has_table_privilege('reader', 't', 'SELECT')").fetchall() == [(True,)]
    assert run("SELECT count(*) FROM pg_roles WHERE rolname ~ 'parked'").fetchall() == [(0,)]
    cluster.drop_database(work)
    shared.close()
    assert not _exists(cluster, "reader")


def _exists(cluster: Cluster, role: str) -> bool:
    with cluster.connect(cluster.maintenance_database) as connection:
        return bool(connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchall())


def test_alter_system_is_put_back(shared: ServerWide, make_history: MakeHistory) -> None:
    text = "-- pgmigrate: no-transaction ALTER SYSTEM stands alone\nALTER SYSTEM SET log_min_messages = 'error';"
    [migration] = make_history((text, None)).migrations
    auto = "SELECT name FROM pg_file_settings WHERE sourcefile ~ 'auto.conf$'"
    shared.begin(migration)
    shared.connection.execute("ALTER SYSTEM SET log_min_messages = 'error'")
    assert ("log_min_messages",) in shared.connection.execute(auto).fetchall()
    shared.restore()

    assert ("log_min_messages",) not in shared.connection.execute(auto).fetchall()
    shared.close()


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("CREATE ROLE app;", "CREATE ROLE"),
        ("DO $$ BEGIN CREATE USER app; END $$;", "CREATE USER"),
        ("ALTER SYSTEM SET work_mem = '1MB';", "ALTER SYSTEM"),
        ("CREATE USER MAPPING FOR app SERVER s;", ""),
        ("CREATE TABLE users (id int);", ""),
    ],
)
def test_server_wide_migrations_are_not_run_on_servers_of_others(
    cluster: Cluster, make_history: MakeHistory, text: str, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [migration] = make_history((text, None)).migrations
    monkeypatch.setattr(cluster, "capabilities", cluster.capabilities - {"server_settings"})

    assert ServerWide(cluster).refuses(migration).startswith(refused)
