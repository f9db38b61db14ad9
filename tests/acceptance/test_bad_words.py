"""Invariants, query files and versions that cannot be used, all in one run: each said with its place, and the run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.histories import Outcome, run

CREATE = "CREATE TABLE users (id BIGSERIAL PRIMARY KEY, email TEXT NOT NULL, phone TEXT);\n"
CHANGE = """-- pgmigrate: contract, needs=99 release 4 reads email alone
-- pgmigrate: irreversible[users.phone] nobody calls them
SET LOCAL lock_timeout = '5s';
ALTER TABLE users DROP COLUMN phone;
"""
INVARIANTS: dict[str, str | bytes] = {
    "000001_a_fine.sql": "SELECT id FROM users WHERE id < 0",
    "000001_b_wrong.sql": "SELECT id\nFROM users\nWHERE emial IS NULL",
    "000001_c_ends_session.sql": "SELECT pg_terminate_backend(pg_backend_pid())",
    "000001_d_copies.sql": "COPY (SELECT 1) TO STDOUT",
    "000001_e_waits.sql": "SELECT pg_sleep(1000)",
    "000001_f_divides.sql": "SELECT 1 / (id - id) FROM users",
    "000001_g_percent.sql": "SELECT id FROM users WHERE email LIKE '%s' OR email = '%(x)s'",
    "000001_h_commits.sql": "COMMIT",
    "000001_i_parameter.sql": "SELECT id FROM users WHERE id = $1",
    "000001_j_binary.sql": b"SELECT '\xff\x00'",
    "000001_k_calls.sql": "CALL nothing()",
    "000001_l_two_rows.sql": "SELECT id FROM users WHERE email = (SELECT email || 'x' FROM users)",
    "000001_z_broken_last.sql": "SELECT id FROM users WHERE id = 1",
    "000077_unknown.sql": "SELECT 1",
}
QUERIES: dict[str, str | bytes] = {
    "a_fine.sql": "SELECT id FROM users WHERE email = $1",
    "b_never.sql": "SELECT id FROM nowhere WHERE emial = $1",
    "c_ends_session.sql": "SELECT pg_terminate_backend(pg_backend_pid())",
    "d_waits.sql": "SELECT pg_sleep(1000)",
    "e_binary.sql": b"\xff\xfe",
    "f_nul.sql": b"SELECT 1\x00",
    "g_empty.sql": "-- nothing\n",
    "h_no_header.csv": "text\nSELECT 1\n",
    "i_empty.csv": "",
    "j_torn.csv": 'query\n"SELECT id FROM users\n',  # taken for what it seems to be, and it works
    "z_breaks.sql": "SELECT phone FROM users WHERE id = $1",
}


@pytest.fixture(scope="module", params=["local", "embedded"])
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One history, with everything that is wrong given to it."""
    engine = request.getfixturevalue(f"{request.param}_cluster").engine
    project = tmp_path_factory.mktemp("words")
    source = project / "source"
    for folder, files in (("invariants", INVARIANTS), ("queries", QUERIES)):
        (project / folder).mkdir()
        for name, content in files.items():
            (project / folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    source.mkdir()
    (source / "000001_users.up.sql").write_text(CREATE)
    (source / "000001_users.down.sql").write_text("DROP TABLE users;\n")
    (source / "000002_phone.up.sql").write_text(CHANGE)
    (source / "000003_more.up.sql").write_text("CREATE TABLE more (id BIGINT PRIMARY KEY);\n")
    (source / "000003_more.down.sql").write_text("DROP TABLE more;\n")
    flags = ["--pgmigrate-verify=invariants", "--pgmigrate-queries=queries", "--pgmigrate-queries=gone.sql"]
    flags += ["--pgmigrate-select=PMG2,PMG3,PMG6,PMG72", "--pgmigrate-statement-timeout=1"]
    return run(project, {"db": source}, f"--pgmigrate-engine={engine}", *flags)


def _found(outcome: Outcome, *codes: str) -> dict[str, dict[str, Any]]:
    """By file, the first finding of these codes about it."""
    found: dict[str, dict[str, Any]] = {}
    for finding in outcome.document["findings"]:
        if finding["code"] in codes:
            found.setdefault(Path(finding["file"]).name, finding)
    return found


def test_the_run_goes_on(outcome: Outcome) -> None:
    assert not outcome.traceback
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    parts = outcome.parts("db")
    assert {parts[f"{name}.up.sql"]["apply"] for name in ("000001_users", "000002_phone", "000003_more")} == {"passed"}
    assert not [n for n in outcome.document["not_judged"] if n["subject"] == "examination"]


@pytest.mark.parametrize(
    ("name", "code", "line", "words"),
    [
        ("000001_b_wrong.sql", "PMG721", 3, 'column "emial" does not exist'),
        ("000001_c_ends_session.sql", "PMG721", 1, "terminating connection"),
        ("000001_d_copies.sql", "PMG721", 1, "returns no rows at all: an invariant is a query"),
        ("000001_e_waits.sql", "PMG721", 1, "statement timeout"),
        ("000001_f_divides.sql", "PMG721", 1, "division by zero"),
        ("000001_h_commits.sql", "PMG721", 1, "returns no rows at all: an invariant is a query"),
        ("000001_i_parameter.sql", "PMG721", 1, "it has parameters"),
        ("000001_j_binary.sql", "PMG723", 1, "is binary"),
        ("000001_k_calls.sql", "PMG721", 1, "procedure nothing() does not exist"),
        ("000001_l_two_rows.sql", "PMG721", 1, "more than one row returned by a subquery"),
        ("000077_unknown.sql", "PMG723", 1, "its versions are 000001 to 000003"),
    ],
)
def test_an_invariant_that_cannot_be_asked(outcome: Outcome, name: str, code: str, line: int, words: str) -> None:
    found = _found(outcome, "PMG721", "PMG723")[name]
    assert (found["code"], found["severity"], found["line"]) == (code, "error", line)
    assert words in found["message"]


def test_the_others_are_asked_all_the_same(outcome: Outcome) -> None:
    """Whatever the one before did to the connection."""
    said = _found(outcome, "PMG721", "PMG723")
    for name in ("000001_a_fine.sql", "000001_g_percent.sql", "000001_z_broken_last.sql"):
        assert name not in said
    broken = [f["message"].split(" (")[0] for f in outcome.document["findings"] if f["code"] == "PMG720"]
    assert "the invariant 000001_z_broken_last" in broken
    assert "the invariant 000001_a_fine" not in broken
    assert "the invariant 000001_g_percent" not in broken


def test_query_files_that_never_worked(outcome: Outcome) -> None:
    listed = [(n["subject"], n["reason"]) for n in outcome.document["not_judged"] if n["part"] == "compat"]
    said = {subject.rpartition("/")[2]: reason for subject, reason in listed if ":" in subject}
    words = {
        "b_never.sql:1": 'relation "nowhere" does not exist',
        "c_ends_session.sql:1": "it ends sessions by pg_terminate_backend, and is not tried",
        "d_waits.sql:1": "statement timeout",
        "e_binary.sql:1": "it is not UTF-8 text",
        "f_nul.sql:1": "it holds a NUL character",
        "g_empty.sql:1": "it holds no query",
        "gone.sql:1": "No such file",
        "h_no_header.csv:1": "its first line names no column query",
        "i_empty.csv:1": "its first line names no column query",
    }
    assert {name: reason for name, reason in said.items() if words.get(name, "?") not in reason} == {}
    assert set(said) == set(words)


def test_the_query_that_worked_is_judged_all_the_same(outcome: Outcome) -> None:
    found = [f for f in outcome.document["findings"] if f["code"] == "PMG604"]
    assert [f["observed"]["queries"] for f in found] == [["queries/z_breaks.sql:1"]]


def test_a_version_that_nobody_knows(outcome: Outcome) -> None:
    [found] = [f for f in outcome.document["findings"] if f["code"] == "PMG608"]
    assert (found["severity"], found["line"]) == ("error", 1)
    assert "needs 99, and there is no such migration" in found["message"]
