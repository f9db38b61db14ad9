"""The external engine on a server that somebody else runs: only pgmigrate_* databases, and what is not judged is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_pgmigrate.model.cluster import Cluster
from tests.acceptance.conftest import GIVE_WAY, Project, assert_clean, codes
from tests.fix_cluster import dsn

PASSWORD = "not-to-be-shown"


@pytest.fixture
def users(project: Project) -> Project:
    project.users().then("000002_role", "CREATE ROLE app_reader;\n", "DROP ROLE app_reader;\n")
    return project.then(
        "000003_nick", GIVE_WAY + "ALTER TABLE users ADD COLUMN nick text;\n", "ALTER TABLE users DROP COLUMN nick;\n"
    )


def everything(cluster: Cluster) -> list[tuple[object, ...]]:
    """Databases, roles and settings of the server."""
    with cluster.connect(cluster.maintenance_database) as connection:
        return connection.execute(
            "SELECT 'database', datname::text, NULL FROM pg_database UNION ALL"
            " SELECT 'role', rolname::text, rolpassword FROM pg_authid UNION ALL"
            " SELECT 'setting', name, setting FROM pg_file_settings ORDER BY 1, 2, 3"
        ).fetchall()


@pytest.fixture
def creator(any_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A DSN of a role that may create databases and nothing else; with ``pg_monitor`` when the parameter says so."""
    with any_cluster.connect(any_cluster.maintenance_database) as connection:
        connection.execute(f"CREATE ROLE creator LOGIN CREATEDB PASSWORD '{PASSWORD}'")
        if request.param:
            connection.execute("GRANT pg_monitor TO creator")
        node = any_cluster.primary
        yield f"postgresql://creator:{PASSWORD}@{node.host}:{node.port}/postgres?sslmode=disable"
        connection.execute("DROP ROLE creator")


@pytest.mark.parametrize("replica", [True, False], ids=["with replica", "without"])
def test_as_superuser(users: Project, any_cluster: Cluster, replica: bool) -> None:
    before = everything(any_cluster)
    flags = [f"--pgmigrate-dsn={dsn(any_cluster)}", "--pgmigrate-rows=3"]
    if replica:
        flags.append(f"--pgmigrate-replica-dsn={dsn(any_cluster, replica=True)}")
    outcome = users.pytest("--pgmigrate", "-q", *flags)
    assert_clean(outcome)
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    assert outcome.document["engine"] == "external"
    assert everything(any_cluster) == before
    parts = {e["name"]: e["parts"] for e in outcome.document["history"]}
    assert parts["role"]["apply"] == "skipped"
    assert parts["nick"]["apply"] == "passed"
    assert parts["nick"]["replica"] == ("passed" if replica else "skipped")
    [nick] = [e["replica"] for e in outcome.document["history"] if e["name"] == "nick"]
    # Locks are read there; nobody is put in the way of a replay that is not ours.
    assert [locks["blocked"] for locks in nick.get("locks", ())] == ([["public.users"]] if replica else [])
    assert nick.get("readers", []) == []
    reasons = [n["reason"] for n in outcome.document["not_judged"]]
    assert any("CREATE ROLE changes what all databases of the server share" in reason for reason in reasons)
    assert any("no replica was given" in reason for reason in reasons) is not replica
    assert any_cluster.primary.password not in outcome.text


@pytest.mark.parametrize("creator", [False, True], ids=["createdb only", "with pg_monitor"], indirect=True)
def test_as_a_role_that_may_only_create_databases(users: Project, any_cluster: Cluster, creator: str) -> None:
    before = everything(any_cluster)
    outcome = users.pytest("--pgmigrate", "-q", "--pgmigrate-rows=3", environment={"PGMIGRATE_DSN": creator})
    assert_clean(outcome)
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    assert everything(any_cluster) == before
    assert codes(outcome) == set()
    assert "is no superuser: what needs one was not judged" in outcome.text
    assert {e["name"]: e["parts"]["apply"] for e in outcome.document["history"]} == {
        "users": "passed",
        "role": "skipped",
        "nick": "passed",
    }
    assert PASSWORD not in outcome.text


def test_a_wrong_password_is_never_shown(users: Project, any_cluster: Cluster) -> None:
    node = any_cluster.primary
    wrong = f"postgresql://{node.user}:{PASSWORD}@{node.host}:{node.port}/postgres?sslmode=disable"
    report = users.path / "r.txt"
    outcome = users.pytest("--pgmigrate", f"--pgmigrate-dsn={wrong}", f"--pgmigrate-report=text:{report}", "-vv")
    assert_clean(outcome)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    assert "password authentication failed" in outcome.text
    assert PASSWORD not in outcome.text + Path(report).read_text(encoding="utf-8")


def test_the_replicas_dsn_must_lead_to_a_standby(users: Project, any_cluster: Cluster) -> None:
    flags = [f"--pgmigrate-dsn={dsn(any_cluster)}", f"--pgmigrate-replica-dsn={dsn(any_cluster)}"]
    outcome = users.pytest("--pgmigrate", "-q", *flags)
    assert_clean(outcome)
    assert outcome.text.count("FAILED ") == 1
    assert "leads to a server that is no standby" in outcome.text
