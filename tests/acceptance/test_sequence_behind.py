"""Sequences behind their column where no fake rows are: said where it began, not again by each later migration."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.histories import run

FILES = {
    "000001_states.up.sql": "CREATE TABLE states (id SERIAL PRIMARY KEY, label TEXT NOT NULL);\n"
    "INSERT INTO states (id, label) VALUES (1, 'open'), (2, 'paid');",
    "000001_states.down.sql": "DROP TABLE states;",
    "000002_more.up.sql": "INSERT INTO states (id, label) VALUES (3, 'sent');",
    "000002_more.down.sql": "DELETE FROM states WHERE id = 3;",
    "000003_set.up.sql": "SELECT setval('states_id_seq', (SELECT max(id) FROM states));",
    "000003_set.down.sql": "SELECT setval('states_id_seq', (SELECT max(id) FROM states));",
}


def test_it_is_said_once(tmp_path: Path) -> None:
    source, project = tmp_path / "source", tmp_path / "project"
    source.mkdir()
    project.mkdir()
    for name, text in FILES.items():
        (source / name).write_text(text, encoding="utf-8")
    flags = ("--pgmigrate-engine=embedded", "--pgmigrate-select=PMG7", "--pgmigrate-rows=0")
    outcome = run(project, {"db": source}, *flags)
    assert outcome.findings("db") == {("000001_states.up.sql", 2, "PMG702")}, outcome.text[-3000:]
