"""Backfills that replace one value by another, batch by batch: rows that keep the old one, and rows that are meant to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.histories import Outcome, run
from tests.fix_cluster import own_pair

CREATE = """CREATE TABLE orders (
    id BIGSERIAL PRIMARY KEY,
    status TEXT NOT NULL,
    paid BOOLEAN NOT NULL DEFAULT false,
    note VARCHAR(30) NOT NULL,
    price NUMERIC(10, 2) NOT NULL CHECK (price > 0),
    customer INT NOT NULL CHECK (customer BETWEEN 1 AND 5)
);
"""
ALONE = "-- pgmigrate: no-transaction every batch commits on its own\n"
SET = "UPDATE orders SET status = 'new' WHERE "


def _turns(loop: str, limit: int = 50) -> str:
    batch = f"id IN (SELECT id FROM orders WHERE status = 'old' ORDER BY id LIMIT {limit})"
    return f"DO $$ DECLARE i INT := 0; changed INT; BEGIN\n    {loop}\n        {SET}{batch};\n" + (
        "        GET DIAGNOSTICS changed = ROW_COUNT; COMMIT; i := i + 1;\n{end}    END LOOP;\nEND $$;\n"
    )


def _ranges(bounds: str, *, more: str = " AND status = 'old'", step: int = 100) -> str:
    return (
        "DO $$ DECLARE low BIGINT; last_id BIGINT; BEGIN\n    SELECT min(id), max(id) INTO low, last_id FROM orders;\n"
        f"    WHILE low <= last_id LOOP\n        {SET}{bounds}{more};\n        COMMIT; low := low + {step};\n"
        "    END LOOP;\nEND $$;\n"
    )


UPS = {
    # name: the backfill
    "whole": _ranges("id >= low AND id < low + 100"),
    "until_none": _turns("LOOP").format(end="        EXIT WHEN changed = 0;\n"),
    "by_content": _ranges("id >= low AND id < low + 100", more=" AND status = 'old' AND length(note) % 2 = 0"),
    "no_state": _ranges("id BETWEEN low AND low + 98", more=" AND price > 0").replace("status = 'new'", "note = trim(note)"),
    "other_table": "CREATE TABLE picked AS SELECT 1::BIGINT AS id, 'old' AS status LIMIT 0;\n"
    "UPDATE orders SET status = 'new' FROM picked WHERE picked.id = orders.id AND picked.status = 'old' AND orders.id > 0;\n",
    "next_one": f"{SET}id = (SELECT id FROM orders WHERE status = 'old' ORDER BY id LIMIT 1);\n",
    "best_of_each": "ALTER TABLE orders ADD COLUMN IF NOT EXISTS best BOOLEAN;\n"
    + _turns("FOR c IN 1..5 LOOP", limit=3).format(end="")
    .replace("status = 'new'", "best = true").replace("status = 'old' ORDER BY id", "customer = c ORDER BY price DESC, id"),
    "newest": _turns("LOOP").format(end="        EXIT WHEN changed = 0;\n").replace(
        "id FROM orders WHERE status = 'old' ORDER BY id",
        "o.id FROM orders o WHERE o.status = 'old' AND EXISTS (SELECT FROM orders p WHERE p.status = 'old'"
        " AND p.customer = o.customer AND p.id > o.id)",
    ),
    "newest_null": "ALTER TABLE orders ADD COLUMN IF NOT EXISTS closed BOOLEAN;\n"
    + _turns("LOOP").format(end="        EXIT WHEN changed = 0;\n").replace("status = 'new'", "closed = true").replace(
        "id FROM orders WHERE status = 'old' ORDER BY id",
        "o.id FROM orders o WHERE o.closed IS NULL AND EXISTS (SELECT FROM orders p"
        " WHERE p.customer = o.customer AND p.id > o.id)",
    ),
    "newest_window": "ALTER TABLE orders ADD COLUMN IF NOT EXISTS closed BOOLEAN;\n"
    + _turns("LOOP").format(end="        EXIT WHEN changed = 0;\n").replace("status = 'new'", "closed = true").replace(
        "id FROM orders WHERE status = 'old' ORDER BY id",
        "id FROM (SELECT id, row_number() OVER (PARTITION BY customer ORDER BY id DESC) AS place"
        " FROM orders WHERE closed IS NULL) x WHERE place > 1",
    ),
    "newest_not_in": "ALTER TABLE orders ADD COLUMN IF NOT EXISTS closed BOOLEAN;\n"
    + _turns("LOOP").format(end="        EXIT WHEN changed = 0;\n").replace("status = 'new'", "closed = true").replace(
        "status = 'old' ORDER BY id",
        "closed IS NULL AND id NOT IN (SELECT max(id) FROM orders GROUP BY customer)",
    ),
    "by_hand": f"{SET}id IN (17, 23, 42) AND price > 0 AND status = 'old';\n",
    # Rows that keep the old value.
    "numbered": "ALTER TABLE orders ADD COLUMN IF NOT EXISTS place INT;\n"
    + _ranges("x.id = orders.id AND orders.id BETWEEN low AND low + 98", more="").replace("status = 'new' WHERE", "place = x.n"
        " FROM (SELECT id, row_number() OVER (PARTITION BY customer ORDER BY id) AS n FROM orders) x WHERE"),
    "gap": _ranges("id BETWEEN low AND low + 98"),
    "strictly": _ranges("id > low AND id < low + 100"),
    "once": f"{SET}id IN (SELECT o.id FROM orders o WHERE o.status = 'old' LIMIT 40);\n",
    "ten_times": _turns("FOR n IN 1..10 LOOP").format(end=""),
    "few": _turns("FOR n IN 1..3 LOOP", limit=5).format(end=""),
    "while": _turns("WHILE i < 4 LOOP").format(end=""),
    "exit_when": _turns("LOOP").format(end="        EXIT WHEN i >= 3;\n"),
    "flag": _turns("FOR n IN 1..3 LOOP").format(end="").replace("status = 'new'", "paid = true")
        .replace("status = 'old'", "NOT paid"),
}  # fmt: skip

SOUND = [
    "whole",
    "until_none",
    "by_content",
    "no_state",
    "other_table",
    "next_one",
    "best_of_each",
    "newest",
    "newest_null",
    "newest_window",
    "newest_not_in",
    "by_hand",
]


def _run(project: Path, names: list[str], *flags: str) -> Outcome:
    folders = {}
    for name in names:
        up, folder = UPS[name], project / "source" / name
        folders[name] = folder
        folder.mkdir(parents=True)
        (folder / "000001_create.up.sql").write_text(CREATE)
        (folder / "000001_create.down.sql").write_text("DROP TABLE orders;\n")
        (folder / "000002_fill.up.sql").write_text((ALONE if "COMMIT" in up else "") + up)
        (folder / "000002_fill.down.sql").write_text("DROP TABLE IF EXISTS picked;\n")
    return run(project, folders, f"--pgmigrate-engine={own_pair().name}", "--pgmigrate-select=PMG722", *flags)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All histories in one run."""
    return _run(tmp_path_factory.mktemp("old_values"), list(UPS))


def _found(outcome: Outcome, folder: str) -> list[dict[str, Any]]:
    return [f for f in outcome.document["findings"] if f["file"].startswith(f"{folder}/")]


@pytest.mark.parametrize("name", SOUND)
def test_what_changes_every_row_that_it_means_is_silent(outcome: Outcome, name: str) -> None:
    assert _found(outcome, name) == []
    assert outcome.parts(name)["000002_fill.up.sql"]["data"] == "passed"


@pytest.mark.parametrize(
    ("name", "left", "words"),
    [
        ("gap", 2, "the same rows are changed under other keys"),
        ("strictly", 3, "the same rows are changed under other keys"),
        ("once", 65, "a second run of the up changes 40 of them"),
        ("ten_times", 25, "a second run of the up changes 25 of them"),
        ("few", 30, "a second run of the up changes 15 of them"),
        ("while", 25, "a second run of the up changes 25 of them"),
        ("exit_when", 25, "a second run of the up changes 25 of them"),
    ],
)
def test_rows_that_keep_the_old_value_are_counted(outcome: Outcome, name: str, left: int, words: str) -> None:
    [finding] = _found(outcome, name)
    assert (finding["code"], finding["severity"]) == ("PMG722", "error")
    assert (finding["observed"]["column"], finding["observed"]["old"]) == ("status", "'old'")
    assert finding["observed"]["left"] == left
    assert "leaves status 'old' in" in finding["message"]
    assert words in finding["message"]


def test_a_flag_is_a_value_too(outcome: Outcome) -> None:
    [finding] = _found(outcome, "flag")
    assert "leaves paid false in" in finding["message"]


def test_a_number_among_others_is_a_value_to_fill_in(outcome: Outcome) -> None:
    [finding] = _found(outcome, "numbered")
    assert "leaves place NULL in" in finding["message"]


def test_a_fixed_number_of_batches_is_enough_for_a_table_that_is_known_to_be_small(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("table,rows\npublic.orders,500\n")
    assert _found(_run(tmp_path, ["ten_times", "once"], "--pgmigrate-production-rows=rows.csv"), "ten_times") == []
