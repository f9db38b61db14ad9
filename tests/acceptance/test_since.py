"""``--pgmigrate-since`` in real git repositories, and ``--pgmigrate-ledger``."""

from __future__ import annotations

import hashlib
import subprocess

import pytest

from tests.acceptance.conftest import GIVE_WAY, USERS_UP, Project, assert_clean, codes

ADD = ("000002_nick", GIVE_WAY + "ALTER TABLE users ADD COLUMN nick text;\n", "ALTER TABLE users DROP COLUMN nick;\n")


def git(project: Project, *words: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *words], cwd=project.path, check=True, capture_output=True)


@pytest.fixture
def repository(project: Project) -> Project:
    """On main: one migration without its down, a fault that is not this branch's. On the branch: nothing yet."""
    project.then("000001_users", USERS_UP, None)
    git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "first")
    git(project, "switch", "-qc", "branch")
    return project


def test_only_what_changed_is_judged(repository: Project) -> None:
    nothing = repository.judge("--pgmigrate-since=main")
    assert nothing.ret == pytest.ExitCode.OK, nothing.text
    assert "collected 0 items" in nothing.text

    repository.then(*ADD)  # not even committed
    outcome = repository.judge("--pgmigrate-since=main", "-q")
    assert outcome.ret == pytest.ExitCode.OK, outcome.text
    assert [e["name"] for e in outcome.document["history"]] == ["nick"]
    assert codes(outcome) == set()

    everything = repository.judge("-q")
    assert codes(everything) == {("000001_users.up.sql", "PMG101")}


def test_a_changed_down_counts_for_its_migration(repository: Project) -> None:
    repository.write({"migrations/000001_users.down.sql": "DROP TABLE users;\n"})
    outcome = repository.judge("--pgmigrate-since=main", "-q")
    assert [e["name"] for e in outcome.document["history"]] == ["users"]
    assert outcome.ret == pytest.ExitCode.OK, outcome.text


@pytest.mark.parametrize("reference", ["nope", "--help", "main..branch", ""])
def test_a_missing_reference_is_a_usage_error(repository: Project, reference: str) -> None:
    outcome = repository.judge(f"--pgmigrate-since={reference}", "--co", "-q")
    assert_clean(outcome)
    if reference:
        assert outcome.ret == pytest.ExitCode.USAGE_ERROR, outcome.text
        assert f"'{reference}'" in outcome.text or reference in outcome.text
    else:
        # An empty variable in a CI script means: judge everything, which is the safe reading.
        assert outcome.ret == pytest.ExitCode.OK
        assert "000001_users.up.sql::apply" in outcome.text


def test_outside_a_repository(project: Project) -> None:
    project.users()
    outcome = project.judge("--pgmigrate-since=main")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    assert "is not in a git repository" in outcome.text


def ledger(*rows: str) -> str:
    return "\n".join(["version,filename,checksum", *rows]) + "\n"


def test_ledger_tells_edited_and_out_of_order(project: Project) -> None:
    project.users().then(*ADD)
    project.then(
        "000003_age", GIVE_WAY + "ALTER TABLE users ADD COLUMN age int;\n", "ALTER TABLE users DROP COLUMN age;\n"
    )
    applied = hashlib.sha256(USERS_UP.encode()).hexdigest()
    edited = hashlib.sha256(b"what it was\n").hexdigest()
    project.write({"ledger.csv": ledger(f"1,,{applied}", f"3,000003_age.up.sql,{edited}")})
    outcome = project.judge("--pgmigrate-ledger=ledger.csv", "-q", "-k", "history")
    assert codes(outcome) == {("000003_age.up.sql", "PMG105"), ("000002_nick.up.sql", "PMG106")}
    assert not [n for n in outcome.document["not_judged"] if "edited" in n["reason"] + n["subject"]]

    project.write({"ledger.csv": ledger(f"1,,{applied}")})
    assert codes(project.judge("--pgmigrate-ledger=ledger.csv", "-q", "-k", "history")) == set()
    without = project.judge("-q", "-k", "history")
    assert any("edited" in n["reason"] + n["subject"] for n in without.document["not_judged"])


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no file"), (b"\x00\xff\xfe", "ledger"), (b"a,b\n1,2\n", "version"), (b"", "version")],
    ids=["missing", "binary", "no version", "empty"],
)
def test_an_unusable_ledger_is_a_usage_error(project: Project, content: bytes | None, message: str) -> None:
    project.users()
    if content is not None:
        project.write({"ledger.csv": content})
    outcome = project.judge("--pgmigrate-ledger=ledger.csv")
    assert_clean(outcome)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR, outcome.text
    assert message in outcome.text
