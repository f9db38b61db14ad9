"""The JSON document: its shape, its schema, and several workers' documents made one."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_pgmigrate.model.finding import NotJudged, Part, Severity
from pytest_pgmigrate.model.migration import Place
from pytest_pgmigrate.reports._document import SCHEMA_VERSION, Document, build, history_entry, merge
from pytest_pgmigrate.reports._ignored import ignored_lines
from pytest_pgmigrate.reports.json import REPORT
from tests.checks import made
from tests.reports.documents import document, finding

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[2] / "docs" / "reference" / "json-report.schema.json").read_text("utf-8")
)


def _valid(made_of: Document) -> None:
    jsonschema.validate(json.loads(REPORT.render(made_of)), SCHEMA)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "made_of",
    [
        document(),
        document(finding(), finding("PMG204", Severity.INFO, ignored="agreed", details=(), observed={})),
        document(finding(migration="", place=Place("db/migrations/x.down.sql"), part=Part.HISTORY)),
        build(
            engine="",
            postgresql="",
            history=[],
            findings=[],
            not_judged=[NotJudged("server", "no superuser")],
            timings={},
            seed=0,
            rows=0,
        ),
        build(
            engine="docker",
            postgresql="17.2",
            history=[history_entry(made.FOLDER, made.migration(), {"history": "passed"}, None)],
            findings=[],
            not_judged=[],
            timings={"discover": 0.1},
            seed=7,
            rows=100,
        ),
    ],
    ids=["no finding", "two findings", "no migration", "nothing run", "not examined"],
)
def test_documents_follow_the_schema(made_of: Document) -> None:
    _valid(made_of)


@pytest.mark.parametrize("part", list(Part))
@pytest.mark.parametrize("severity", list(Severity))
def test_every_part_and_severity_is_in_the_schema(part: Part, severity: Severity) -> None:
    _valid(document(finding(part=part, severity=severity), parts={part.value: "skipped"}))


def _without(key: str) -> Document:
    return {k: v for k, v in document(finding()).items() if k != key}


@pytest.mark.parametrize("key", sorted(document()))
def test_the_schema_asks_for_every_field(key: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        _valid(_without(key))


@pytest.mark.parametrize("key", sorted(document(finding())["findings"][0]))
def test_the_schema_asks_for_every_field_of_a_finding(key: str) -> None:
    broken = document(finding())
    del broken["findings"][0][key]
    with pytest.raises(jsonschema.ValidationError):
        _valid(broken)


def _raised(value: Any, *path: str | int) -> Document:
    broken = copy.deepcopy(document(finding()))
    place: Any = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return broken


@pytest.mark.parametrize(
    "broken",
    [
        _raised(SCHEMA_VERSION + 1, "schema_version"),
        _raised("fatal", "findings", 0, "severity"),
        _raised("locking", "findings", 0, "part"),
        _raised(0, "findings", 0, "line"),
        _raised(None, "findings", 0, "observed"),
        _raised("broken", "history", 0, "parts", "apply"),
        _raised(-1, "timings", "run"),
    ],
)
def test_the_schema_refuses_what_must_not_be(broken: Document) -> None:
    with pytest.raises(jsonschema.ValidationError):
        _valid(broken)


def test_a_finding_keeps_all_it_holds() -> None:
    assert document(finding(ignored="agreed"))["findings"] == [
        {
            "code": "PMG402",
            "slug": "down-leaves-difference",
            "severity": "error",
            "migration": "000002_add_note",
            "part": "rollback",
            "file": "db/migrations/000002_add_note.up.sql",
            "line": 3,
            "column": 5,
            "message": "the down leaves a difference: index public.idx_orders_placed_at is left",
            "observed": {"objects": ["index public.idx_orders_placed_at"], "rows": 20, "second_up_fails": False},
            "effect": "after a rollback the old release runs on a schema it never had",
            "fix": "add to 000002_add_note.down.sql: DROP INDEX public.idx_orders_placed_at;",
            "details": ["index public.idx_orders_placed_at is left"],
            "ignored": "agreed",
        }
    ]


def test_a_migration_tells_its_steps() -> None:
    entry = document()["history"][0]
    assert (entry["folder"], entry["version"], entry["name"]) == ("db/migrations", "000002", "add_note")
    assert (entry["seconds"], entry["later_rows"], entry["replica_seconds"]) == (1.5, 6, 0.03)
    assert [step["name"] for step in entry["steps"]] == [
        "up",
        "down",
        "up again",
        "up without a down",
        "up before later rows",
        "down",
    ]
    assert entry["steps"][0]["statements"] == [{"line": 1, "kind": "?", "seconds": 0.2}]
    assert entry["steps"][1]["error"] == "other objects depend on it"
    assert entry["steps"][2]["explained"] == ["public.orders.placed_at"]


def test_json_is_readable_text() -> None:
    text = REPORT.render(document(finding(message="la colonne « prénom » reste")))
    assert text.endswith("}\n")
    assert "« prénom »" in text
    assert json.loads(text)["timings"] == {"run": 1.5, "seed": 0.25}


def test_json_survives_values_that_json_has_not() -> None:
    observed = json.loads(REPORT.render(document(finding(observed={"place": Place("a.sql", 2, 1)}))))
    assert observed["findings"][0]["observed"] == {"place": "a.sql:2:1"}


OTHER = "db/migrations/000009_other.up.sql"


def test_merge_joins_workers() -> None:
    second = document(finding("PMG403"), file=OTHER, engine="docker", postgresql="17.2")
    merged = merge([document(finding()), second])
    assert [entry["file"].rsplit("/", 1)[-1] for entry in merged["history"]] == [
        "000002_add_note.up.sql",
        "000009_other.up.sql",
    ]
    assert [f["code"] for f in merged["findings"]] == ["PMG402", "PMG403"]
    assert merged["timings"] == {"run": 3.0, "seed": 0.5}
    assert len(merged["not_judged"]) == 1, "the same reason is counted once"
    _valid(merged)


def test_merge_joins_the_parts_of_one_migration() -> None:
    merged = merge([document(parts={"apply": "passed"}), document(parts={"data": "failed"})])
    assert len(merged["history"]) == 1
    assert merged["history"][0]["parts"] == {"apply": "passed", "data": "failed"}


def test_merge_takes_the_engine_of_a_worker_that_started_one() -> None:
    merged = merge([document(engine="", postgresql=""), document()])
    assert (merged["engine"], merged["postgresql"]) == ("embedded", "18.6")


def test_merge_says_what_a_worker_had_from_the_cache() -> None:
    merged = merge([document(), document(from_cache=("000001", "000009")), document()])
    assert merged["seeding"] == {"seed": 0, "rows": 20, "faker": None, "from_cache": ["000001", "000009"]}
    _valid(merged)


def test_merge_leaves_its_input_alone() -> None:
    first, second = document(finding()), document(finding("PMG403"), file=OTHER)
    before = copy.deepcopy((first, second))
    merge([first, second])
    assert (first, second) == before


def _ignored(pattern: str, table: str = "", rows: int = 0, migration: str = "") -> dict[str, Any]:
    migrations = [migration] if migration else []
    return {"pattern": pattern, "table": table, "column": "", "rows": rows, "migrations": migrations}


def test_merge_joins_what_was_ignored_and_what_no_worker_needed() -> None:
    first = document(ignored_data=[_ignored("a.*", "public.a", 3, "000001_a"), _ignored("b.*"), _ignored("c.*")])
    second = document(
        ignored_data=[
            _ignored("a.*", "public.a", 5, "000002_b"),
            _ignored("b.*", "public.b", 1, "000002_b"),
            _ignored("c.*"),
        ]
    )
    merged = merge([first, second])
    assert merged["ignored_data"] == [
        {**_ignored("a.*", "public.a", 5), "migrations": ["000001_a", "000002_b"]},
        _ignored("c.*"),
        _ignored("b.*", "public.b", 1, "000002_b"),
    ]
    _valid(merged)
    assert list(ignored_lines(merged["ignored_data"])) == [
        "ignored data: public.a differs in 5 rows (000001_a, 000002_b): pgmigrate_ignore_data a.*",
        "ignored data: public.b differs in 1 row (000002_b): pgmigrate_ignore_data b.*",
        "ignored data: nothing that differs fits pgmigrate_ignore_data c.*",
    ]


def test_merge_of_nothing_and_of_one() -> None:
    assert merge([]) == {}
    assert merge([document(finding())]) == document(finding())
