"""Backfills in batches through whole runs on a real server: what they leave out, and what an interruption makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.histories import Outcome, run
from tests.fix_cluster import own_pair

CREATE = """CREATE TABLE accounts (
    id BIGSERIAL PRIMARY KEY,
    username VARCHAR(30) NOT NULL,
    nickname TEXT
);
"""
TIMEOUT = "SET LOCAL lock_timeout = '5s';\n"
ALONE = "-- pgmigrate: no-transaction every batch commits on its own\n"
EXPAND = ("ALTER TABLE accounts ADD COLUMN handle TEXT;\n", "ALTER TABLE accounts DROP COLUMN handle;\n")
DOWN = "UPDATE accounts SET handle = NULL WHERE handle IS NOT NULL;\n"
RECORD = "CREATE TABLE IF NOT EXISTS done (id BIGINT, handle TEXT);\n"


def _ranges(
    start: str, end: str, *, body: str = "", where: str = " AND handle IS NULL", value: str = "lower(username)"
) -> str:
    """Key ranges of 100: ``start`` and ``end`` make ``low`` and ``last_id``."""
    return (
        "DO $$ DECLARE low BIGINT; last_id BIGINT; BEGIN\n"
        f"    SELECT {start}, {end} INTO low, last_id FROM accounts;\n"
        "    WHILE low <= last_id LOOP\n"
        f"        UPDATE accounts SET handle = {value} WHERE id >= low AND id < low + 100{where};\n"
        f"        {body}COMMIT;\n"
        "        low := low + 100;\n    END LOOP;\nEND $$;\n"
    )


def _loop(exit_when: str, limit: int = 50) -> str:
    return (
        "DO $$ DECLARE changed INTEGER; BEGIN\n    LOOP\n"
        "        UPDATE accounts SET handle = lower(username) WHERE id IN\n"
        f"            (SELECT id FROM accounts WHERE handle IS NULL ORDER BY id LIMIT {limit});\n"
        f"        GET DIAGNOSTICS changed = ROW_COUNT;\n        COMMIT;\n        EXIT WHEN {exit_when};\n"
        "    END LOOP;\nEND $$;\n"
    )


def _numbered(where: str) -> str:
    """Row by row, four to a batch."""
    return (
        "CREATE SEQUENCE IF NOT EXISTS handles;\n"
        "DO $$ DECLARE changed INTEGER := 0; account BIGINT; BEGIN\n"
        f"    FOR account IN SELECT id FROM accounts {where} ORDER BY id LOOP\n"
        "        UPDATE accounts SET handle = nextval('handles') WHERE id = account;\n"
        "        changed := changed + 1;\n        IF changed % 4 = 0 THEN COMMIT; END IF;\n"
        "    END LOOP;\nEND $$;\n"
    )


KEYED = RECORD.replace("BIGINT,", "BIGINT PRIMARY KEY,")
COPY = "INSERT INTO done SELECT id, handle FROM accounts WHERE id >= low AND id < low + 100"

UPS = {
    # name: the backfill
    "whole": _ranges("min(id)", "max(id)"),
    "whole_by_limit": _loop("changed = 0"),
    "stops_early": _loop("changed <= 50"),
    "once": "UPDATE accounts SET handle = lower(username) WHERE id IN (SELECT id FROM accounts ORDER BY id LIMIT 50);\n",
    "last_page": _ranges("min(id)", "max(id) - 100"),
    "last_row": _ranges("min(id)", "max(id)").replace("id < low + 100", "id < least(low + 100, last_id)"),
    "gap": _ranges("min(id)", "max(id)").replace("low := low + 100;", "EXIT WHEN NOT FOUND; low := low + 100;").replace(
        "COMMIT;\n        EXIT WHEN NOT FOUND;", "EXIT WHEN NOT FOUND; COMMIT;\n       "
    ),
    "from_zero": _ranges("0", "max(id)"),
    "by_content": _ranges("min(id)", "max(id)", value="lower(nickname)"),
    "some": _ranges("min(id)", "max(id)", where=" AND length(username) % 2 = 0"),
    "last_one": "UPDATE accounts SET handle = 'last' WHERE id = (SELECT id FROM accounts ORDER BY id DESC LIMIT 1);\n",
    "ten_best": "UPDATE accounts SET handle = 'best' WHERE id IN (SELECT id FROM accounts ORDER BY username, id LIMIT 10);\n",
    "doubles": RECORD
    + _ranges("min(id)", "max(id)", where="", value="concat(handle, username)")
    .replace("BEGIN\n", "BEGIN\nIF EXISTS (SELECT FROM done) THEN RETURN; END IF;\n", 1)
    .replace("END $$", "INSERT INTO done VALUES (1, 'all');\nEND $$"),
    "resumes": KEYED + _ranges("min(id)", "max(id)", body=f"{COPY} ON CONFLICT DO NOTHING; "),
    # Row by row, so that their order is given; the batch that is cut has drawn numbers.
    "numbered": _numbered("WHERE handle IS NULL"),
    "renumbered": RECORD
    + _numbered("")
    .replace("BEGIN\n", "BEGIN\nIF EXISTS (SELECT FROM done) THEN RETURN; END IF;\n", 1)
    .replace("END $$", "INSERT INTO done VALUES (1, 'all');\nEND $$"),
    "pieces": "".join(
        f"UPDATE accounts SET handle = lower(username) WHERE id {bounds};\n" for bounds in ("< 8", "BETWEEN 8 AND 14", "> 14")
    ),
}  # fmt: skip
DOWNS = {
    "doubles": DOWN + "DROP TABLE done;\n",
    "resumes": DOWN + "DROP TABLE done;\n",
    "numbered": DOWN + "DROP SEQUENCE handles;\n",
    "renumbered": DOWN + "DROP SEQUENCE handles;\nDROP TABLE done;\n",
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All histories in one run."""
    return _run(tmp_path_factory.mktemp("backfills"), UPS)


def _run(project: Path, ups: dict[str, str], *flags: str) -> Outcome:
    folders = {}
    for name, up in ups.items():
        folder = folders[name] = project / "source" / name
        folder.mkdir(parents=True)
        (folder / "000001_create.up.sql").write_text(CREATE)
        (folder / "000001_create.down.sql").write_text("DROP TABLE accounts;\n")
        for direction, text in zip(("up", "down"), EXPAND, strict=True):
            (folder / f"000002_expand.{direction}.sql").write_text(TIMEOUT + text)
        alone = ALONE if "COMMIT" in up else ""
        (folder / "000003_fill.up.sql").write_text(alone + up)
        (folder / "000003_fill.down.sql").write_text(alone + DOWNS.get(name, DOWN))
    return run(
        project, folders, f"--pgmigrate-engine={own_pair().name}", "--pgmigrate-select=PMG201,PMG701,PMG72", *flags
    )


def _found(outcome: Outcome, folder: str, *, info: bool = False) -> dict[str, dict[str, Any]]:
    return {
        f["code"]: f
        for f in outcome.document["findings"]
        if f["file"].startswith(f"{folder}/") and (f["severity"] == "info") is info
    }


@pytest.mark.parametrize(
    "name", ["whole", "whole_by_limit", "by_content", "some", "last_one", "ten_best", "resumes", "numbered"]
)
def test_what_fills_every_row_that_it_can_is_silent(outcome: Outcome, name: str) -> None:
    assert _found(outcome, name) == {}
    assert outcome.parts(name)["000003_fill.up.sql"]["data"] == "passed"


@pytest.mark.parametrize(
    ("name", "left", "words"),
    [
        ("stops_early", 75, "a second run of the up fills 50 of them"),
        ("once", 75, "under other keys"),
        ("last_page", 3, "behind a gap in the keys: the same rows are filled under other keys"),
        ("last_row", 1, "the same rows are filled under other keys"),
        ("gap", 3, "behind a gap in the keys: the same rows are filled under other keys"),
    ],
)
def test_rows_left_out_are_counted(outcome: Outcome, name: str, left: int, words: str) -> None:
    found = _found(outcome, name)
    assert found.keys() == {"PMG722"}
    finding = found["PMG722"]
    assert (finding["severity"], finding["observed"]["column"]) == ("error", "handle")
    assert finding["observed"]["left"] == left
    assert words in finding["message"]
    assert outcome.parts(name)["000003_fill.up.sql"]["data"] == "failed"


def test_keys_below_zero_are_a_warning(outcome: Outcome) -> None:
    found = _found(outcome, "from_zero")
    assert found.keys() == {"PMG722"}
    assert (found["PMG722"]["severity"], found["PMG722"]["observed"]["left"]) == ("warning", 2)
    assert "those with keys below zero" in found["PMG722"]["message"]


@pytest.mark.parametrize("name", ["doubles", "renumbered"])
def test_a_batch_that_is_run_twice_doubles_nothing(outcome: Outcome, name: str) -> None:
    found = _found(outcome, name)
    assert found.keys() == {"PMG724"}
    assert "leaves something else in accounts" in found["PMG724"]["message"]
    assert found["PMG724"]["details"]


def test_batches_are_bounded(outcome: Outcome, tmp_path: Path) -> None:
    assert _found(outcome, "pieces").keys() == {"PMG725"}
    limited = _run(tmp_path, {"whole": UPS["whole"]}, "--pgmigrate-max-rows-per-statement=60")
    assert _found(limited, "whole")["PMG725"]["observed"]["rows"] == 100


def test_a_missing_pause_is_information(outcome: Outcome) -> None:
    assert "without a pause" in _found(outcome, "whole", info=True)["PMG726"]["message"]


def test_a_backfill_alone_is_judged_as_in_the_whole_run(outcome: Outcome, tmp_path: Path) -> None:
    """The column it fills has no values yet, though all rows are made after the migration that added it."""
    alone = _run(tmp_path, {"stops_early": UPS["stops_early"]}, "-k", "000003_fill")
    assert [f["file"].rsplit("/", 1)[-1] for f in alone.document["history"]] == ["000003_fill.up.sql"]
    assert _found(alone, "stops_early")["PMG722"]["observed"] == _found(outcome, "stops_early")["PMG722"]["observed"]
