"""Documents made by hand, for what is made of them."""

from __future__ import annotations

from typing import Any

from pytest_pgmigrate.model.evidence import LaterRows, ReplicaEvidence, StatementRun
from pytest_pgmigrate.model.finding import Finding, NotJudged, Part, Severity
from pytest_pgmigrate.model.migration import Direction, Place
from pytest_pgmigrate.reports._document import Document, build, history_entry
from tests.checks import made


def finding(code: str = "PMG402", severity: Severity = Severity.ERROR, **more: Any) -> Finding:
    """A finding about one line of a down."""
    fields: dict[str, Any] = {
        "slug": "down-leaves-difference",
        "part": Part.ROLLBACK,
        "migration": "000002_add_note",
        "place": Place("db/migrations/000002_add_note.up.sql", 3, 5),
        "message": "the down leaves a difference: index public.idx_orders_placed_at is left",
        "effect": "after a rollback the old release runs on a schema it never had",
        "fix": "add to 000002_add_note.down.sql: DROP INDEX public.idx_orders_placed_at;",
        "observed": {"objects": ["index public.idx_orders_placed_at"], "rows": 20, "second_up_fails": False},
        "details": ("index public.idx_orders_placed_at is left",),
    }
    return Finding(code=code, severity=severity, **{**fields, **more})


def document(*findings: Finding, parts: dict[str, str] | None = None, file: str = "", **more: Any) -> Document:
    """A run over one migration."""
    migration = made.migration()
    evidence = made.clean(
        migration,
        up=made.step(seconds=0.25, statements=(StatementRun(migration.up.statements[0], 0.2, "ALTER TABLE"),)),
        down=made.step(Direction.DOWN, problem=made.error("2BP01", "other objects depend on it")),
        again=made.step(name="up again", explained=("public.orders.placed_at",)),
        later=LaterRows(True, 6, made.step(name="up before later rows"), made.step(Direction.DOWN)),
        replica=ReplicaEvidence(True, True, 0.03),
        seconds=1.5,
    )
    entry = history_entry(made.FOLDER, migration, parts or {"history": "passed", "rollback": "failed"}, evidence)
    fields: dict[str, Any] = {
        "engine": "embedded",
        "postgresql": "18.6",
        "history": [{**entry, "file": file or entry["file"]}],
        "findings": findings,
        "not_judged": [NotJudged("replica", "no replica was given", migration.key, "replica")],
        "timings": {"run": 1.50004, "seed": 0.25},
        "seed": 0,
        "rows": 20,
    }
    return build(**{**fields, **more})
